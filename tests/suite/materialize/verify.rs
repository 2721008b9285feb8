//! What is in the topics, and what folding the event topics gives.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use idaas_state::{Entity, Entry, Event, Outcome, Record, apply};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::instance::Deployment;
use crate::support::records::{Seen, record, retry};

/// How long the instances may take to apply everything.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(240);

/// How much was compared.
#[derive(Debug, Default)]
pub(super) struct Report {
    events: usize,
    states: usize,
}

/// All records of a topic that a `read_committed` consumer sees, by partition.
fn read(bootstrap_servers: &str, topic: &str) -> BTreeMap<i32, Vec<Seen>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "idaas-bridge-state-tests")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .create()
        .unwrap();
    let partitions = retry(|| {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).map_err(|e| e.to_string())?;
        match metadata.topics().first().map_or(0, |topic| topic.partitions().len()) {
            0 => Err(format!("{topic} is not there")),
            count => Ok(i32::try_from(count).unwrap()),
        }
    });
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records: BTreeMap<i32, Vec<Seen>> = (0..partitions).map(|partition| (partition, Vec::new())).collect();
    let mut open: Vec<_> = (0..partitions).collect();
    let end = Instant::now() + CATCH_UP_TIMEOUT;
    while !open.is_empty() {
        assert!(Instant::now() < end, "{topic}: the end of {open:?} was not reached");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => records.get_mut(&message.partition()).unwrap().push(record(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|known| *known != partition),
            Some(Err(_)) | None => {}
        }
    }
    records
}

fn topics(deployment: &Deployment, entity: Entity) -> [String; 2] {
    let prefix = &deployment.prefix;
    [format!("{prefix}.{}.v1", entity.name()), format!("{prefix}.{}.state.v1", entity.name())]
}

/// The state records that the events of one partition give, in their order.
fn fold(entity: Entity, events: &[Seen]) -> Vec<Record> {
    let mut known: HashMap<String, Entry> = HashMap::new();
    let mut records = Vec::new();
    for seen in events {
        let headers = seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let Ok(event) = Event::read(entity, headers, &seen.value, seen.timestamp.unwrap()) else { continue };
        let change = apply(known.get(&event.id).cloned(), &event);
        records.extend(Record::of(&event, &change.outcome));
        let entry = match change.outcome {
            Outcome::Unchanged => continue,
            Outcome::Updated(state) => Entry::Live(state),
            Outcome::Deleted(deletion) => Entry::Deleted(deletion),
        };
        known.insert(event.id, entry);
    }
    records
}

/// Waits until the state topics have as many records as the fold gives.
pub(super) fn wait_until_applied(deployment: &Deployment) {
    let servers = &deployment.bootstrap_servers;
    let end = Instant::now() + CATCH_UP_TIMEOUT;
    for entity in Entity::ALL {
        let [events, states] = topics(deployment, entity);
        let expected: Vec<_> = read(servers, &events).values().map(|events| fold(entity, events).len()).collect();
        loop {
            let found: Vec<_> = read(servers, &states).values().map(Vec::len).collect();
            if found.iter().zip(&expected).all(|(found, expected)| found >= expected) {
                break;
            }
            assert!(Instant::now() < end, "{states}: {found:?} of {expected:?} records");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Checks that the state topics have exactly the records of the fold: none missing, none twice, in order.
pub(super) fn assert_exact(deployment: &Deployment) -> Report {
    let servers = &deployment.bootstrap_servers;
    let mut report = Report::default();
    for entity in Entity::ALL {
        let [events, states] = topics(deployment, entity);
        let (events, states) = (read(servers, &events), read(servers, &states));
        for (partition, events) in events {
            let expected = fold(entity, &events);
            let found = &states[&partition];
            report.events += events.len();
            report.states += found.len();
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                let value = (!found.value.is_empty()).then(|| found.value.clone());
                let headers: Vec<_> = found
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), String::from_utf8(value.clone()).unwrap()))
                    .collect();
                let at = format!("{} {partition}, record {number} at offset {}", entity.name(), found.offset);
                assert_eq!(found.key.as_deref(), Some(expected.key.as_bytes()), "{at}");
                assert_eq!(text(value), text(expected.value.clone()), "{at}");
                assert_eq!(headers, expected.headers, "{at}");
            }
            assert_eq!(found.len(), expected.len(), "{} {partition}", entity.name());
        }
    }
    report
}

fn text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|value| String::from_utf8(value).unwrap())
}

/// The newest state record of each entity of one kind.
fn committed(deployment: &Deployment, entity: &str) -> BTreeMap<String, Value> {
    let topic = format!("{}.{entity}.state.v1", deployment.prefix);
    let mut states = BTreeMap::new();
    for seen in read(&deployment.bootstrap_servers, &topic).into_values().flatten() {
        let id = String::from_utf8(seen.key.unwrap()).unwrap();
        if seen.value.is_empty() {
            states.remove(&id);
        } else {
            states.insert(id, serde_json::from_slice(&seen.value).unwrap());
        }
    }
    states
}

/// The newest state of all entities, by kind and id.
pub(super) fn latest(deployment: &Deployment) -> BTreeMap<(String, String), Value> {
    let of = |entity: Entity| {
        let states = committed(deployment, entity.name());
        states.into_iter().map(move |(id, state)| ((entity.name().to_owned(), id), state))
    };
    Entity::ALL.into_iter().flat_map(of).collect()
}
