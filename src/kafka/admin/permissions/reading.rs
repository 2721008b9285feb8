//! Tests whether this user may read topics, by fetching from the end of each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::Silent;
use crate::kafka::client::error::describe;
use crate::kafka::client::settings::Cluster;

/// Maximum number of topics that are tested at the same time: each takes a consumer with its threads.
const MAX_ASKED: usize = 32;

/// The result of the read test on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The user may read.
    Allowed,
    /// The user may not read.
    NotAllowed,
    /// Unknown, with the reason.
    Unknown(String),
}

/// Tests for each topic (name, and a partition whose leader answers) whether this user may read it. Blocks for at most
/// `limit` for every 32 topics.
#[must_use]
pub fn reading(cluster: &Cluster, topics: &[(&str, i32)], limit: Duration) -> Vec<Reading> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(vec![Reading::Unknown("it could not be asked".to_owned()); topics.len()]);
    let ask_remaining = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((topic, partition)) = topics.get(index) else { return };
            // Each topic gets its own consumer, because an error does not name its topic.
            let answer = ask(cluster, topic, *partition, limit).unwrap_or_else(Reading::Unknown);
            if let Some(reading) = answers.lock().get_mut(index) {
                *reading = answer;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..topics.len().min(MAX_ASKED) {
            // If no more threads can be started, the others ask for all topics.
            let _ = std::thread::Builder::new().spawn_scoped(scope, ask_remaining);
        }
        ask_remaining();
    });
    answers.into_inner()
}

fn ask(cluster: &Cluster, topic: &str, partition: i32, limit: Duration) -> Result<Reading, String> {
    let mut settings = cluster.partition_reader("check");
    settings
        // The end of the partition is an answer too.
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Silent> =
        BaseConsumer::from_config_and_context(&settings, Silent).map_err(|error| describe(&error))?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::End).map_err(|error| error.to_string())?;
    consumer.assign(&assignment).map_err(|error| error.to_string())?;
    let end = Instant::now() + limit;
    loop {
        match consumer.poll(end.saturating_duration_since(Instant::now())) {
            Some(Err(KafkaError::PartitionEOF(_)) | Ok(_)) => return Ok(Reading::Allowed),
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                return Ok(Reading::NotAllowed);
            }
            Some(Err(_)) => {}
            None => return Ok(Reading::Unknown("no answer in time".to_owned())),
        }
    }
}
