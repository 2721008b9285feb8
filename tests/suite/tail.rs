//! What became of events, read back from the topics: over a restart, and from other replicas while they publish.

mod follower;
mod limits;
mod verdicts;

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
fn long_window() -> Window {
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
    let whole = |known: &Known| match known.published {
        Published::Whole(verdict) => Some((known.key, verdict)),
        Published::Record(_) => None,
    };
    // The first counts.
    events.iter().rev().filter_map(whole).collect()
}

/// The records of which it is known that they are published.
fn records(events: &[Known]) -> BTreeSet<(EventKey, u8)> {
    let record = |known: &Known| match known.published {
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
    try_read(&Cluster::plain(kafka.bootstrap_servers()), scope, long_window()).unwrap()
}

/// The events that a follower has reported so far.
#[derive(Clone, Default)]
struct Observed(Arc<(Mutex<Vec<Known>>, Condvar)>);

impl Observed {
    fn follow(&self, cluster: &Cluster, scope: Scope, resume: Checkpoint) -> Follower {
        let observed = self.clone();
        let observe = move |events: &[Known]| {
            observed.0.0.lock().extend(events);
            observed.0.1.notify_all();
        };
        Follower::start(cluster, LiveScope::new(scope), resume, observe, &Arc::default()).unwrap()
    }

    fn wait_for(&self, of: &[(&str, Verdict)]) {
        let mut events = self.0.0.lock();
        while verdicts(&events) != expected(of) {
            let late = self.0.1.wait_for(&mut events, Duration::from_secs(60)).timed_out();
            assert!(!late, "{:?} and not {:?}", verdicts(&events), expected(of));
        }
    }
}

fn places(tail: &Read) -> Vec<(&str, i32, i64)> {
    tail.resume.next_offsets().collect()
}
