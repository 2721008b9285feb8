//! What stands on Kafka, read by consumers of the verifier's own: one that reads along while things break, and one
//! that reads everything again from the beginning. Knows nothing of what was sent.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::events::number_in;
use crate::support::records::{Quiet, Seen, Until, record, visit_all};

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Position among the topics that are read.
    pub(crate) topic: usize,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// One record with a given `ce_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) position: Position,
    /// When the broker accepted it, in milliseconds since 1970; only if the topic's timestamps are the broker's.
    pub(crate) appended: Option<i64>,
    pub(crate) key: String,
    /// The number that the sender wrote into it.
    pub(crate) number: Option<u64>,
    /// Of headers and value, but for the time of acceptance.
    pub(crate) digest: u64,
}

/// The records of some topics.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// By `ce_id`, in the order of reading, which within a partition is that of the offsets.
    pub(crate) copies: HashMap<String, Vec<Stored>>,
    ids: HashMap<Position, String>,
}

impl Published {
    /// Reads everything that stands there, from the beginning.
    pub(crate) fn read(bootstrap_servers: &str, topics: &[String]) -> Self {
        let mut published = Self::default();
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        visit_all(&client(bootstrap_servers), &names, Until::HighWatermarks, |seen| published.take(topics, &seen));
        published
    }

    fn take(&mut self, topics: &[String], seen: &Seen) {
        let topic = topics.iter().position(|topic| *topic == seen.topic).expect("a topic that is read");
        let position = Position { topic, partition: seen.partition, offset: seen.offset };
        // A place that is read again keeps what stood there first, so that another content shows.
        let std::collections::hash_map::Entry::Vacant(unread) = self.ids.entry(position) else { return };
        let id = unread.insert(seen.header("ce_id").unwrap_or_default().to_owned()).clone();
        let value: Value = serde_json::from_slice(&seen.value).unwrap_or_default();
        let copy = Stored {
            position,
            appended: seen.timestamp.filter(|_| seen.of_append),
            key: String::from_utf8_lossy(seen.key.as_deref().unwrap_or_default()).into_owned(),
            number: number_in(&seen.topic, &value),
            digest: digest(seen, value),
        };
        self.copies.entry(id).or_default().push(copy);
    }

    /// The records here that do not stand in `later` with the same id: what Kafka itself forgot.
    pub(crate) fn missing_in(&self, later: &Self) -> Vec<Position> {
        self.ids
            .iter()
            .filter(|(position, id)| later.ids.get(position) != Some(*id))
            .map(|(position, _)| *position)
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn of(copies: impl IntoIterator<Item = (String, Stored)>) -> Self {
        let mut published = Self::default();
        for (id, copy) in copies {
            published.ids.insert(copy.position, id.clone());
            published.copies.entry(id).or_default().push(copy);
        }
        published
    }
}

/// A redelivery that is accepted again, as after a crash, differs only in `receivedAt`.
fn digest(seen: &Seen, mut value: Value) -> u64 {
    if let Some(origin) = value.get_mut("origin").and_then(Value::as_object_mut) {
        origin.remove("receivedAt");
    }
    let mut hasher = DefaultHasher::new();
    seen.headers.iter().filter(|(name, _)| name != "ce_traceparent").for_each(|header| header.hash(&mut hasher));
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

fn client(bootstrap_servers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap_servers)
        // Required by the client and never used: partitions are assigned, offsets not committed.
        .set("group.id", "idaas-bridge-verifier")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "200")
        .set("reconnect.backoff.max.ms", "500");
    client
}

/// A consumer that reads along, whatever happens to the brokers. Dropping it ends it.
pub(crate) struct Follower {
    published: Arc<Mutex<Published>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows topics of that many partitions each, from their beginning.
    pub(crate) fn start(bootstrap_servers: &str, topics: &[String], partitions: i32) -> Self {
        let consumer: BaseConsumer<Quiet> = client(bootstrap_servers).create_with_context(Quiet).unwrap();
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..partitions {
                assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&assignment).unwrap();
        let (published, ends) = (Arc::<Mutex<Published>>::default(), Arc::<AtomicBool>::default());
        let (into, end, topics) = (Arc::clone(&published), Arc::clone(&ends), topics.to_vec());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                // Errors pass: they are what this is about.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
                    into.lock().take(&topics, &record(&message));
                }
            }
        });
        Self { published, ends, thread: Some(thread) }
    }

    /// What it has read so far.
    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
