//! What became of events, read back from the topics: over a restart, and from other replicas while they publish.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idaas_bridge::config::Config;
use idaas_bridge::kafka::client::settings::Cluster;
use idaas_bridge::kafka::embedded::mock_cluster;
use idaas_bridge::kafka::history::ReadFault;
use idaas_bridge::kafka::history::correlate::Known;
use idaas_bridge::kafka::history::follow::Follower;
use idaas_bridge::kafka::history::our_topics::{LiveScope, Scope};
use idaas_bridge::kafka::history::partition_reader::FetchProfile;
use idaas_bridge::kafka::history::recent_records::{Backlog, Checkpoint, Window, read_tail};
use idaas_bridge::kafka::history::tail;
use idaas_callback::Reason;
use idaas_callback::event_type::Entity;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use outbox::verdict::Verdict;
use outbox::{EventKey, Published};
use parking_lot::{Condvar, Mutex};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;

use crate::support::bridge::{ENTITIES, Setup, TestApplication};
use crate::support::raw_produce::produce_with_raw_header_name;
use crate::support::real_kafka::{RealKafka, shared_one_node};
use crate::support::records::retry;

const CREDENTIAL_KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const APPLICATION: &str = "app_one";

fn topics(kafka: &RealKafka, prefix: &str, partitions: i32) {
    for entity in ENTITIES {
        kafka.create_topic(&format!("{prefix}.{entity}.v1"), partitions, 1, &[]);
    }
}

/// All topics of that prefix, and one application.
fn scope(prefix: &str, seals: bool) -> Scope {
    let topics = Entity::ALL.map(|entity| (format!("{prefix}.{}.v1", entity.name()), entity));
    Scope::new(HashMap::from(topics), HashMap::from([(APPLICATION.to_owned(), seals)]))
}

/// Enough time for a machine that is busy with other tests.
fn patient() -> Window {
    Window { time_limit: Duration::from_secs(60), ..Window::default() }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn minutes_ago(minutes: i64) -> i64 {
    now() - minutes * 60_000
}

/// Publishes as a bridge would, or would not.
struct Forger {
    producer: ThreadedProducer<DefaultProducerContext>,
    prefix: String,
}

impl Forger {
    fn new(bootstrap_servers: &str, prefix: &str) -> Self {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", bootstrap_servers).set("linger.ms", "5").set("partitioner", "murmur2_random");
        settings.set("queue.buffering.max.messages", "1000000");
        Self { producer: settings.create().unwrap(), prefix: prefix.to_owned() }
    }

    fn write(&self, entity: &str, timestamp: i64, headers: &[(&str, &str)], value: &str) {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_bytes()) })
        });
        let (topic, key) = (format!("{}.{entity}.v1", self.prefix), format!("{value}{timestamp}"));
        let record = BaseRecord::to(&topic).key(&key).payload(value).timestamp(timestamp).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn event(&self, entity: &str, action: &str, id: &str, timestamp: i64) {
        let kind = format!("com.alibabacloud.idaas.{entity}.{action}.v1");
        let source = format!("/idaas/idaas_1/{APPLICATION}");
        let ce_id = if entity == "credential" { format!("{id}:credential") } else { id.to_owned() };
        let headers = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", ce_id.as_str()),
            ("ce_source", source.as_str()),
            ("ce_type", kind.as_str()),
            ("ce_dataschema", "urn:idaas-bridge:schema:user:v1"),
            ("ce_subject", "user_1"),
            ("ce_time", "2026-01-01T00:00:00.000Z"),
        ];
        self.write(entity, timestamp, &headers, &format!(r#"{{"id":"{id}","reason":"malformed_data"}}"#));
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }
}

fn verdicts(events: &[Known]) -> BTreeMap<EventKey, Verdict> {
    let whole = |known: &Known| match known.learned {
        Published::Whole(verdict) => Some((known.key, verdict)),
        Published::Record(_) => None,
    };
    // The first counts.
    events.iter().rev().filter_map(whole).collect()
}

/// The records of which it is known that they are published.
fn records(events: &[Known]) -> BTreeSet<(EventKey, u8)> {
    let record = |known: &Known| match known.learned {
        Published::Whole(_) => None,
        Published::Record(index) => Some((known.key, index)),
    };
    events.iter().filter_map(record).collect()
}

fn expected(of: &[(&str, Verdict)]) -> BTreeMap<EventKey, Verdict> {
    of.iter().map(|(id, verdict)| (EventKey::of(APPLICATION, id), *verdict)).collect()
}

/// What was read.
struct Read {
    tail: Backlog,
    events: Vec<Known>,
    resume: Checkpoint,
}

fn try_read(cluster: &Cluster, scope: &Scope, window: Window) -> Result<Read, ReadFault> {
    let (mut resume, mut events) = (Checkpoint::default(), Vec::new());
    let tail = read_tail(cluster, scope, window, &mut resume, |known| events.extend(known))?;
    Ok(Read { tail, events, resume })
}

fn tail(kafka: &RealKafka, scope: &Scope) -> Read {
    try_read(&Cluster::plain(kafka.bootstrap_servers()), scope, patient()).unwrap()
}

/// What a follower has told so far.
#[derive(Clone, Default)]
struct Told(Arc<(Mutex<Vec<Known>>, Condvar)>);

impl Told {
    fn follow(&self, cluster: &Cluster, scope: Scope, resume: Checkpoint) -> Follower {
        let told = self.clone();
        let tell = move |events: &[Known]| {
            told.0.0.lock().extend(events);
            told.0.1.notify_all();
        };
        Follower::start(cluster, LiveScope::new(scope), resume, tell).unwrap()
    }

    fn wait_for(&self, of: &[(&str, Verdict)]) {
        let mut events = self.0.0.lock();
        while verdicts(&events) != expected(of) {
            let late = self.0.1.wait_for(&mut events, Duration::from_secs(60)).timed_out();
            assert!(!late, "{:?} and not {:?}", verdicts(&events), expected(of));
        }
    }
}

#[test]
fn newest_timestamp_of_each_application_is_told() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "newest-times", 1);
    let forger = Forger::new(kafka.bootstrap_servers(), "newest-times");
    let newest = minutes_ago(2);
    for (id, timestamp) in [("old", minutes_ago(5)), ("newest", newest), ("late", minutes_ago(3))] {
        forger.event("user", "updated", id, timestamp);
    }
    forger.flush();
    let told = tail(kafka, &scope("newest-times", false)).tail.newest;
    assert_eq!(told, BTreeMap::from([(APPLICATION.to_owned(), newest)]));
}

#[test]
fn verdicts_are_rebuilt_from_records_of_both_modes() {
    let Some(kafka) = shared_one_node() else { return };
    for mode in ["binary", "structured"] {
        let prefix = format!("tail-{mode}");
        topics(kafka, &prefix, 3);
        let seal = format!("passwords = \"seal\"\ncredential_key = \"{CREDENTIAL_KEY}\"");
        let application = TestApplication::workforce().prefix(&prefix).line(seal);
        let id = application.material.identity.application_id.clone();
        let bridge = Setup::of(vec![application])
            .topics(format!("event_mode = {mode:?}"))
            .kafka(kafka.bootstrap_servers())
            .start();
        let mut events = Generator::new(7).one_of_each(now_ms());
        // Only a password makes an event of two records; without one it is left out, because nobody can tell.
        events.retain(|event| !event.event_type.ends_with("user:create") && !event.event_type.ends_with("password"));
        events.push(with_password(1, "secret"));
        let answered = bridge.send(&events);
        let odd = [
            json!({"eventId": "evnt_odd", "eventType": Kind::UserUpdateInfo.urn(), "bizId": "u", "bizData": "[]"}),
            json!({"eventId": "evnt_nobody", "eventType": Kind::GroupCreate.urn(), "bizData": {}}),
        ];
        let mut answered: BTreeMap<_, _> = answered.into_iter().collect();
        answered.extend(bridge.send_items(odd.to_vec()));
        let config = Config::load(bridge.configuration()).unwrap_or_else(|_| panic!("it has started with it"));
        let tail = tail(kafka, &Scope::of(&config));
        let known = verdicts(&tail.events);
        for (event_id, (_, code)) in &answered {
            let verdict =
                known.get(&EventKey::of(&id, event_id)).unwrap_or_else(|| panic!("{mode}: {event_id} {code}"));
            assert_eq!(verdict.code(), code, "{mode}: {event_id}");
        }
        assert_eq!((known.len(), tail.tail.is_complete()), (answered.len(), true), "{mode}");
        assert_eq!(tail.tail.records, bridge.records().len(), "{mode}");
        assert_dead_letters(&tail);
    }
}

fn with_password(number: u64, password: &str) -> Event {
    let mut event = Generator::new(8).event(&Kind::UserCreate.into(), number, now_ms());
    event.biz_data = json!({"userId": event.biz_id, "password": password});
    event
}

fn assert_dead_letters(tail: &Read) {
    let letters =
        verdicts(&tail.events).into_values().filter(|verdict| matches!(verdict, Verdict::DeadLettered(_))).count();
    assert_eq!(letters, 2);
}

#[test]
fn only_what_is_as_ours_and_within_the_window_is_known() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "odd", 1);
    let forger = Forger::new(kafka.bootstrap_servers(), "odd");
    for id in 0..20 {
        forger.event("user", "updated", &format!("old_{id}"), minutes_ago(15));
    }
    forger.event("user", "updated", "young", minutes_ago(9));
    // As of a journal that was replayed late: it stands behind a younger one.
    forger.event("user", "updated", "replayed", minutes_ago(30));
    forger.event("group", "updated", "in_group", now());
    forger.event("dead-letter", "refused", "letter", now());
    forger.event("user", "updated", "both", now());
    forger.event("dead-letter", "refused", "both", now());
    let ours = ("ce_source", "/idaas/idaas_1/app_one");
    let updated = ("ce_type", "com.alibabacloud.idaas.user.updated.v1");
    for (entity, headers, value) in [
        ("user", &[][..], "nothing at all"),
        ("user", &[ours, updated], ""),
        ("user", &[("ce_id", "foreign"), ("ce_source", "/idaas/idaas_1/app_foreign"), updated], "{}"),
        ("group", &[("ce_id", "misplaced"), ours, updated], "{}"),
        ("user", &[("content-type", "application/cloudevents+json")], "{\"id\":"),
        ("user", &[("content-type", "application/cloudevents+json")], "[[[[[[[["),
        (
            "dead-letter",
            &[("ce_id", "why"), ours, ("ce_type", "com.alibabacloud.idaas.dead-letter.refused.v1")],
            r#"{"reason":"bored"}"#,
        ),
    ] {
        forger.write(entity, now(), headers, value);
    }
    forger.flush();
    produce_with_raw_header_name(kafka.bootstrap_servers(), "odd.user.v1", b"ce_\xff\xfe\x00id");
    forger.event("user", "updated", "behind", now());
    forger.flush();
    let tail = tail(kafka, &scope("odd", false));
    let letter = Verdict::DeadLettered(Reason::MalformedData);
    let known = [
        ("young", Verdict::Confirmed),
        ("replayed", Verdict::Confirmed),
        ("in_group", Verdict::Confirmed),
        ("letter", letter),
        ("both", letter),
        ("behind", Verdict::Confirmed),
    ];
    assert_eq!(verdicts(&tail.events), expected(&known));
    assert!(tail.tail.is_complete());
    assert!(tail.resume.next_offsets().any(|place| place == ("odd.user.v1", 0, 30)), "{:?}", places(&tail));
    // Nor does it end who only looks.
    let topics = ["odd.user.v1".to_owned()];
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let limit = Duration::from_secs(30);
    let mut looking = tail::TailReader::start(&cluster, &topics, tail::Begin::Oldest, limit).unwrap();
    let mut seen = std::iter::from_fn(|| looking.next(limit));
    assert!(seen.any(|record| record.header("ce_id") == Some("behind")));
}

fn places(tail: &Read) -> Vec<(&str, i32, i64)> {
    tail.resume.next_offsets().collect()
}

#[test]
fn an_event_with_a_credential_is_known_once_both_records_stand() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "pair", 2);
    let forger = Forger::new(kafka.bootstrap_servers(), "pair");
    for (id, parts) in [("both", &["user", "credential"][..]), ("user", &["user"]), ("credential", &["credential"])] {
        parts.iter().for_each(|entity| forger.event(entity, "created", id, now()));
    }
    forger.flush();
    let read = tail(kafka, &scope("pair", true));
    assert_eq!(verdicts(&read.events), expected(&[("both", Verdict::Confirmed)]));
    let halves = records(&read.events);
    for half in [("user", 0), ("credential", 1)] {
        assert!(halves.contains(&(EventKey::of(APPLICATION, half.0), half.1)), "{half:?}");
    }
    let unsealed = [("both", Verdict::Confirmed), ("user", Verdict::Confirmed)];
    assert_eq!(verdicts(&tail(kafka, &scope("pair", false)).events), expected(&unsealed));
    // Whoever follows knows the halves, and completes them.
    let told = Told::default();
    let _follower = told.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("pair", true), read.resume);
    forger.event("credential", "created", "user", now());
    forger.event("dead-letter", "refused", "credential", now());
    forger.flush();
    told.wait_for(&[("user", Verdict::Confirmed), ("credential", Verdict::DeadLettered(Reason::MalformedData))]);
}

#[test]
fn a_missing_topic_is_followed_once_it_exists() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("late.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "late");
    forger.event("user", "updated", "before", now());
    forger.flush();
    let read = tail(kafka, &scope("late", false));
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&[("before", Verdict::Confirmed)]), true));
    let told = Told::default();
    let follower = told.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("late", false), read.resume);
    forger.event("user", "updated", "after", now());
    forger.flush();
    told.wait_for(&[("after", Verdict::Confirmed)]);
    kafka.create_topic("late.group.v1", 1, 1, &[]);
    forger.event("group", "created", "at_once", now());
    forger.flush();
    told.wait_for(&[("after", Verdict::Confirmed), ("at_once", Verdict::Confirmed)]);
    drop(follower);
}

#[test]
fn foreign_transactions_do_not_hide_records() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("mixed.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "mixed");
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap_servers()).set("transactional.id", "mixed");
    let stranger: ThreadedProducer<DefaultProducerContext> = settings.create().unwrap();
    let limit = Duration::from_secs(60);
    retry(|| stranger.init_transactions(limit).map_err(|error| error.to_string()));
    forger.event("user", "updated", "first", now());
    forger.flush();
    stranger.begin_transaction().unwrap();
    stranger.send(BaseRecord::<str, str>::to("mixed.user.v1").payload("theirs")).map_err(|(e, _)| e).unwrap();
    stranger.commit_transaction(limit).unwrap();
    // The partition ends with the mark of the transaction, which is no record.
    let read = tail(kafka, &scope("mixed", false));
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&[("first", Verdict::Confirmed)]), true));
    stranger.begin_transaction().unwrap();
    stranger.send(BaseRecord::<str, str>::to("mixed.user.v1").payload("theirs")).map_err(|(e, _)| e).unwrap();
    stranger.flush(limit).unwrap();
    forger.event("user", "updated", "second", now());
    forger.flush();
    let read = tail(kafka, &scope("mixed", false));
    let both = [("first", Verdict::Confirmed), ("second", Verdict::Confirmed)];
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&both), true));
    stranger.abort_transaction(limit).unwrap();
}

#[test]
fn an_incomplete_tail_knows_the_newest_records() {
    let Some(kafka) = shared_one_node() else { return };
    ["user", "group"].iter().for_each(|entity| kafka.create_topic(&format!("many.{entity}.v1"), 1, 1, &[]));
    let forger = Forger::new(kafka.bootstrap_servers(), "many");
    for number in 0..100 {
        forger.event("user", "updated", &format!("user_{number}"), now());
        forger.event("group", "updated", &format!("group_{number}"), now());
        forger.flush();
    }
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let read = try_read(&cluster, &scope("many", false), Window { limit: 20, ..patient() }).unwrap();
    let last: Vec<_> = (90..100).flat_map(|number| [format!("user_{number}"), format!("group_{number}")]).collect();
    let last: Vec<_> = last.iter().map(|id| (id.as_str(), Verdict::Confirmed)).collect();
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&last), false));
}

#[test]
fn a_cluster_that_is_away_is_a_fault_within_the_time() {
    let mock = mock_cluster(1).unwrap();
    mock.broker_down(1).unwrap();
    let window = Window { time_limit: Duration::from_secs(2), ..Window::default() };
    let fault = try_read(&Cluster::plain(&mock.bootstrap_servers()), &scope("away", false), window).err().unwrap();
    assert!(matches!(fault, ReadFault::Unreachable(_)), "{fault}");
}

#[test]
fn a_follower_outlives_an_absence_and_misses_nothing() {
    let mock = mock_cluster(1).unwrap();
    mock.create_topic("gone.user.v1", 2, 1).unwrap();
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let resume = try_read(&cluster, &scope("gone", false), patient()).unwrap().resume;
    mock.broker_down(1).unwrap();
    let told = Told::default();
    let follower = told.follow(&cluster, scope("gone", false), resume);
    mock.broker_up(1).unwrap();
    let forger = Forger::new(&mock.bootstrap_servers(), "gone");
    forger.event("user", "updated", "first", now());
    forger.flush();
    told.wait_for(&[("first", Verdict::Confirmed)]);
    mock.broker_down(1).unwrap();
    forger.event("user", "updated", "second", now());
    mock.broker_up(1).unwrap();
    forger.flush();
    told.wait_for(&[("first", Verdict::Confirmed), ("second", Verdict::Confirmed)]);
    mock.broker_down(1).unwrap();
    drop(follower);
}

#[test]
fn a_hundred_thousand_records_in_many_partitions_are_all_known() {
    let Some(kafka) = shared_one_node() else { return };
    let entities = ["user", "organizational-unit", "group", "connectivity", "unclassified", "dead-letter"];
    entities.iter().for_each(|entity| kafka.create_topic(&format!("large.{entity}.v1"), 12, 1, &[]));
    let forger = Forger::new(kafka.bootstrap_servers(), "large");
    for number in 0..100_000 {
        forger.event(entities[number % entities.len()], "updated", &format!("evnt_{number}"), now());
        if number % 25_000 == 24_999 {
            forger.flush();
        }
    }
    let read = tail(kafka, &scope("large", false));
    let letters = 100_000 / entities.len();
    // Those letters have the action of another record, and so say nothing.
    assert_eq!((read.events.len(), read.tail.records, read.tail.is_complete()), (100_000 - letters, 100_000, true));
}

#[test]
fn newest_records_are_told_first() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("newest.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "newest");
    for number in 0..200_000 {
        forger.event("user", "updated", &format!("evnt_{number}"), now());
        if number % 25_000 == 24_999 {
            forger.flush();
        }
    }
    let mut batches = Vec::new();
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let mut resume = Checkpoint::default();
    let tail = read_tail(&cluster, &scope("newest", false), patient(), &mut resume, |known| {
        batches.push(known.iter().map(|known| known.key).collect::<BTreeSet<_>>());
    });
    assert!(tail.unwrap().is_complete());
    let batch_of = |number: u32| {
        let key = EventKey::of(APPLICATION, &format!("evnt_{number}"));
        batches.iter().position(|batch| batch.contains(&key))
    };
    assert_eq!((batch_of(199_999), batch_of(199_000)), (Some(0), Some(0)));
    assert!(batch_of(0) > Some(0), "{:?}", batch_of(0));
    assert_eq!(batches.iter().map(BTreeSet::len).sum::<usize>(), 200_000);
}

#[test]
fn a_silent_broker_holds_up_its_own_partitions_only() {
    let mock = mock_cluster(3).unwrap();
    for (entity, leader) in [("user", 1), ("group", 2), ("connectivity", 3)] {
        let topic = format!("silent.{entity}.v1");
        mock.create_topic(&topic, 1, 3).unwrap();
        mock.partition_leader(&topic, 0, Some(leader)).unwrap();
    }
    mock.broker_down(3).unwrap();
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let read = try_read(&cluster, &scope("silent", false), patient()).unwrap();
    assert_eq!(read.tail.unread, ["silent.connectivity.v1"]);
    assert_eq!(places(&read), [("silent.group.v1", 0, 0), ("silent.user.v1", 0, 0)]);
    // What was left out is read once it answers, and nothing else.
    mock.broker_up(3).unwrap();
    let mut resume = read.resume;
    retry(|| {
        let tail = read_tail(&cluster, &scope("silent", false), patient(), &mut resume, |_| {});
        if tail.unwrap().is_complete() { Ok(()) } else { Err("a partition is still left out".to_owned()) }
    });
    assert!(resume.next_offsets().any(|place| place == ("silent.connectivity.v1", 0, 0)));
}

#[test]
fn hundreds_of_topics_of_distant_brokers_are_read_in_time() {
    let mock = mock_cluster(3).unwrap();
    let mut topics = HashMap::new();
    for application in 0..100 {
        for entity in Entity::ALL {
            let topic = format!("app{application}.{}.v1", entity.name());
            mock.create_topic(&topic, 1, 1).unwrap();
            topics.insert(topic, entity);
        }
    }
    for broker in 1..=3 {
        mock.broker_round_trip_time(broker, Duration::from_millis(10)).unwrap();
    }
    let scope = Scope::new(topics, HashMap::from([(APPLICATION.to_owned(), false)]));
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let read = try_read(&cluster, &scope, Window::default()).unwrap();
    assert!(read.tail.is_complete(), "{:?}", read.tail);
    assert_eq!(places(&read).len(), 700);
}

#[test]
fn catching_up_knows_everything_published_before_it() {
    let Some(kafka) = shared_one_node() else { return };
    ["user", "group"].iter().for_each(|entity| kafka.create_topic(&format!("catch.{entity}.v1"), 3, 1, &[]));
    let read = tail(kafka, &scope("catch", false));
    let told = Told::default();
    let follower = told.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("catch", false), read.resume);
    let forger = Forger::new(kafka.bootstrap_servers(), "catch");
    for (round, pace) in [(0, FetchProfile::Easy), (1, FetchProfile::Fast)] {
        follower.set_fetch_profile(pace);
        for number in 0..5_000 {
            forger.event("user", "updated", &format!("user_{round}_{number}"), now());
        }
        // A topic that nobody has followed yet.
        if round == 1 {
            kafka.create_topic("catch.connectivity.v1", 1, 1, &[]);
            forger.event("connectivity", "tested", "new_topic", now());
        }
        forger.flush();
        retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
        let known = verdicts(&told.0.0.lock());
        assert_eq!(known.len(), 5_000 * (round + 1) + round);
    }
    drop(follower);
}

#[test]
fn catching_up_fails_while_a_broker_does_not_answer() {
    let mock = mock_cluster(2).unwrap();
    for (entity, leader) in [("user", 1), ("group", 2)] {
        let topic = format!("behind.{entity}.v1");
        mock.create_topic(&topic, 1, 2).unwrap();
        mock.partition_leader(&topic, 0, Some(leader)).unwrap();
    }
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let resume = try_read(&cluster, &scope("behind", false), patient()).unwrap().resume;
    let told = Told::default();
    let follower = told.follow(&cluster, scope("behind", false), resume);
    retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
    mock.broker_down(2).unwrap();
    retry(|| if follower.catch_up(Duration::from_secs(5)) { Err("caught up".to_owned()) } else { Ok(()) });
    mock.broker_up(2).unwrap();
    retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
}
