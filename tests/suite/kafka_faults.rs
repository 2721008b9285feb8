//! Real Apache Kafka in trouble: what was answered as a success stands there, and every answer is in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::json;

use crate::support::bridge::{Caller, ENTITIES, Setup, TestApplication, TestBridge, Verdicts};
use crate::support::real_kafka::{Nodes, Options, RealKafka, shared_one_node};
use crate::support::records::{Seen, Until, consume_all, retry};

/// IDaaS waits that long.
const IDAAS_WAITS: Duration = Duration::from_secs(10);

fn topics(kafka: &RealKafka, prefix: &str, partitions: i32, replication: i32, configs: &[(&str, &str)]) {
    for entity in ENTITIES {
        kafka.create_topic(&format!("{prefix}.{entity}.v1"), partitions, replication, configs);
    }
}

/// A bridge to that cluster, whose topics begin with `prefix`.
fn setup(kafka: &RealKafka, prefix: &str) -> Setup {
    Setup::of(vec![TestApplication::workforce().prefix(prefix)])
        .topics(format!("prefix = {prefix:?}"))
        .kafka(kafka.bootstrap_servers())
}

fn user(number: u64) -> Event {
    Generator::new(21).event(&Kind::UserUpdateInfo.into(), number, now_ms())
}

fn with_description(id: &str, length: usize) -> serde_json::Value {
    let data = json!({"userId": id, "description": "x".repeat(length)});
    json!({"eventId": format!("evnt_{id}"), "eventType": Kind::UserUpdateInfo.urn(), "bizId": id, "bizData": data})
}

fn in_time<T>(answer: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let answer = answer();
    assert!(began.elapsed() < IDAAS_WAITS, "answered after {:?}", began.elapsed());
    answer
}

fn lists(verdicts: &Verdicts) -> BTreeSet<List> {
    verdicts.values().map(|(list, _)| *list).collect()
}

/// Sends again what is to be retried, as IDaaS would, until nothing is.
fn send_until_success(bridge: &Caller, events: &[Event]) {
    retry(|| match lists(&in_time(|| bridge.send(events))) {
        lists if lists == BTreeSet::from([List::Success]) => Ok(()),
        lists => Err(format!("{lists:?}")),
    });
}

#[test]
fn a_login_over_tls_carries_every_type() {
    let options = Options::default().scram("bridge", "correct horse");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    topics(&kafka, "secure", 2, 1, &[]);
    let mut with_login = setup(&kafka, "secure");
    for (name, value) in kafka.secure_properties() {
        with_login = match name {
            "bootstrap.servers" => with_login.kafka(&value),
            name => with_login.property(name, &value),
        };
    }
    let mut bridge = with_login.read_from(kafka.bootstrap_servers()).start();
    let events = Generator::new(4).one_of_each(now_ms());
    assert_eq!(lists(&in_time(|| bridge.send(&events))), BTreeSet::from([List::Success]));
    assert!(bridge.end());
    assert_eq!(bridge.published().len(), events.len());
}

/// At least once, and almost always once: a killed broker may have written what it did not confirm.
fn assert_almost_always_once(bridge: &TestBridge) {
    let mut positions = BTreeMap::<_, Vec<_>>::new();
    for record in bridge.records() {
        let id = record.header("ce_id").unwrap().to_owned();
        positions.entry(id).or_default().push((record.topic.clone(), record.partition, record.offset));
    }
    let twice: Vec<_> = positions.iter().filter(|(_, positions)| positions.len() > 1).collect();
    let replaced = bridge.metric("kafka_producer_recreated_total", &[]);
    let few = twice.len() * 200 <= positions.len();
    assert!(few, "published twice, with {replaced} replacements of the producer: {twice:?}");
}

#[test]
fn three_nodes_lose_nothing_when_replicas_are_short() {
    let Some(kafka) = RealKafka::start(Nodes::Three, Options::default()) else { return };
    topics(&kafka, "trio", 3, 3, &[]);
    let bridge = setup(&kafka, "trio").start();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (caller, stop) = (Arc::clone(&bridge), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut number, mut open, mut sent) = (sender * 1_000_000_u64, Vec::<Event>::new(), Vec::new());
                // Retried events are sent again with the next callback, until all are confirmed.
                while !stop.load(Ordering::Relaxed) || !open.is_empty() {
                    if !stop.load(Ordering::Relaxed) {
                        open.extend((number..number + 5).map(user));
                        number += 5;
                    }
                    let verdicts = in_time(|| caller.send(&open));
                    assert!(
                        lists(&verdicts).is_subset(&BTreeSet::from([List::Success, List::Retried])),
                        "{verdicts:?}"
                    );
                    let (done, again) = open.into_iter().partition(|e| verdicts[&e.event_id].0 == List::Success);
                    open = again;
                    sent.extend(done);
                }
                sent
            })
        })
        .collect();
    let entity = [("entity", "user")];
    let grown = |by: f64| {
        let before = bridge.metric("events_published_total", &entity);
        retry(|| match bridge.metric("events_published_total", &entity) - before {
            more if more >= by => Ok(()),
            more => Err(format!("{more} more")),
        });
    };
    grown(200.0);
    let node = kafka.leader_of("trio.user.v1", 0);
    kafka.kill(node);
    grown(200.0);
    kafka.restart(node);
    kafka.wait_in_sync("trio.user.v1", 0, 3);
    grown(200.0);
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<Event> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let counts = bridge.published();
    let ids: BTreeSet<_> = sent.iter().map(|event| event.event_id.clone()).collect();
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert_almost_always_once(&bridge);

    // Two of three are gone: nothing can be persisted as promised, and nothing is said to be.
    let (one, other) = (node % 3 + 1, (node + 1) % 3 + 1);
    kafka.kill(one);
    kafka.wait_in_sync("trio.user.v1", 0, 2);
    kafka.kill(other);
    let held_back: Vec<_> = (5_000_000..5_000_010).map(user).collect();
    let verdicts = in_time(|| bridge.send(&held_back));
    assert_eq!(lists(&verdicts), BTreeSet::from([List::Retried]), "{verdicts:?}");
    kafka.restart(one);
    kafka.restart(other);
    send_until_success(&bridge, &held_back);
    assert_eq!(bridge.published().len(), ids.len() + held_back.len());
}

#[test]
fn a_missing_topic_does_not_delay_other_topics() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES.into_iter().filter(|entity| *entity != "group") {
        kafka.create_topic(&format!("gap.{entity}.v1"), 1, 1, &[]);
    }
    let bridge = setup(kafka, "gap").deadline(3000).start();
    let events = [Generator::new(1).event(&Kind::GroupCreate.into(), 1, now_ms()), user(1)];
    let verdicts = in_time(|| bridge.send(&events));
    assert_eq!(verdicts[&events[0].event_id], (List::Retried, "not_confirmed".to_owned()));
    assert_eq!(verdicts[&events[1].event_id], (List::Success, "SUCCESS".to_owned()));
    kafka.create_topic("gap.group.v1", 1, 1, &[]);
    send_until_success(&bridge, &events);
    assert_eq!(bridge.published().len(), 2);
}

#[test]
fn a_too_large_record_is_a_dead_letter_beside_successes() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES {
        let limit: &[_] = if entity == "user" { &[("max.message.bytes", "20000")] } else { &[] };
        kafka.create_topic(&format!("size.{entity}.v1"), 1, 1, limit);
    }
    // Nothing may be compressed below the limit.
    let bridge = setup(kafka, "size").property("compression.type", "none").start();
    let mut items: Vec<_> = (0..40).map(|number| with_description(&format!("small{number}"), 300)).collect();
    items.insert(10, with_description("huge", 1_200_000));
    items.insert(20, with_description("medium", 50_000));
    items.insert(30, with_description("second", 60_000));
    for _ in 0..2 {
        let verdicts = in_time(|| bridge.send_items(items.clone()));
        let failed: BTreeMap<_, _> = verdicts
            .iter()
            .filter(|(_, (list, _))| *list != List::Success)
            .map(|(id, (list, code))| (id.as_str(), (*list, code.as_str())))
            .collect();
        let expected = BTreeMap::from([
            ("evnt_huge", (List::Failed, "record_too_large")),
            ("evnt_medium", (List::Failed, "refused_by_broker")),
            ("evnt_second", (List::Failed, "refused_by_broker")),
        ]);
        assert_eq!(failed, expected);
    }
    let letters: BTreeMap<String, serde_json::Value> = bridge
        .records_of("dead-letter")
        .iter()
        .map(|record| (record.header("ce_id").unwrap().to_owned(), serde_json::from_slice(&record.value).unwrap()))
        .collect();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters["evnt_medium"]["original"], with_description("medium", 50_000));
    assert!(letters["evnt_huge"]["originalSize"].as_u64().unwrap() > 1_200_000);
    assert_eq!(bridge.records_of("user").len(), 40);
    bridge.wait_metric("dead_letters_total", &[("reason", "refused_by_broker")], 2.0);
    assert_eq!(bridge.metric("events_received_total", &[]), bridge.metric("events_answered_total", &[]));
}

fn some_keys() -> Vec<String> {
    (0..30).map(|number| format!("user_{number}")).chain(["ü\u{4e2d}\u{1f511}".to_owned()]).collect()
}

fn success(bridge: &Caller, keys: &[String]) {
    let items = keys.iter().map(|key| with_description(key, 3)).collect();
    assert_eq!(lists(&bridge.send_items(items)), BTreeSet::from([List::Success]));
}

/// A record as Java's console consumer prints it.
fn printed(record: &Seen) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| format!("{name}:{}", text(value))).collect();
    let key = text(record.key.as_deref().unwrap());
    [format!("Partition:{}", record.partition), headers.join("\u{1f}"), key, text(&record.value)].join("\u{1e}")
}

#[test]
fn the_java_console_consumer_reads_records_and_headers() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "java", 4, 1, &[]);
    let bridge = setup(kafka, "java").start();
    success(&bridge, &some_keys());
    let records = bridge.records_of("user");
    let count = records.len().to_string();
    let mut arguments = vec!["--bootstrap-server", kafka.bootstrap_servers(), "--topic", "java.user.v1"];
    arguments.extend(["--from-beginning", "--max-messages", &count, "--timeout-ms", "30000"]);
    for property in ["print.headers=true", "print.key=true", "print.partition=true"] {
        arguments.extend(["--property", property]);
    }
    arguments.extend(["--property", "headers.separator=\u{1f}", "--property", "key.separator=\u{1e}"]);
    let read = kafka.java("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments, "");
    let seen: BTreeSet<_> = read.lines().map(str::to_owned).collect();
    assert_eq!(seen, records.iter().map(printed).collect());
}

#[test]
fn partitions_match_the_java_default_partitioner() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "keys", 8, 1, &[]);
    kafka.create_topic("keys-by-java", 8, 1, &[]);
    let bridge = setup(kafka, "keys").start();
    let keys = some_keys();
    success(&bridge, &keys);
    let lines: String = keys.iter().map(|key| format!("{key}\tx\n")).collect();
    let servers = kafka.bootstrap_servers();
    let arguments = ["--bootstrap-server", servers, "--topic", "keys-by-java", "--property", "parse.key=true"];
    kafka.java("org.apache.kafka.tools.ConsoleProducer", &arguments, &lines);
    let by_java = consume_all(servers, &["keys-by-java"], Until::Count(keys.len()));
    let partitions = |records: &[Seen]| -> BTreeMap<Vec<u8>, i32> {
        records.iter().map(|record| (record.key.clone().unwrap(), record.partition)).collect()
    };
    assert_eq!(partitions(&bridge.records_of("user")), partitions(&by_java));
}
