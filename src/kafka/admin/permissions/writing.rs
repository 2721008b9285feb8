//! Tests whether this user may write, with a request that every broker checks for permission and then rejects.
//!
//! Kafka has no request that only tests the permission to write. But a broker first checks the user's permission
//! (`KafkaApis`), and then the number of acknowledgements that the request asks for (`ReplicaManager`). Only 0, 1 and
//! all are valid: a request for two is answered with `INVALID_REQUIRED_ACKS` before any record is examined, whatever
//! the topic's settings are.
//!
//! A cluster that is not Apache Kafka could ignore the number. So the record is also larger than the topic accepts,
//! if that limit is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};

use crate::kafka::client::error::describe;
use crate::kafka::client::log;
use crate::kafka::client::settings::{Cluster, MAX_MESSAGE_BYTES};

/// The number of acknowledgements, which no broker accepts.
const INVALID_ACKS: &str = "2";
/// The number of bytes by which the record exceeds the topic's limit.
const EXCESS: usize = 64 << 10;
/// Maximum size of a test record, in bytes.
const MAX_TEST_RECORD: usize = 32 << 20;

/// The result of the write test on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// The user may write.
    Allowed,
    /// The user may not write.
    NotAllowed,
    /// The cluster accepted the invalid request, and has published an empty record.
    Published,
    /// Unknown, with the reason.
    Unknown(String),
}

/// The topic and partition of a write test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteTest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// A partition whose leader answers.
    pub partition: i32,
    /// The maximum record size of the topic, in bytes, if it is known.
    pub limit: Option<usize>,
}

impl WriteTest<'_> {
    fn size(&self) -> usize {
        self.limit.filter(|limit| *limit <= MAX_TEST_RECORD).map_or(0, |limit| limit + EXCESS)
    }
}

/// Tests for each topic whether this user may write. Blocks for at most a second longer than `limit`.
///
/// # Errors
/// Returns an error if librdkafka rejects the settings.
pub fn writing(cluster: &Cluster, tests: &[WriteTest<'_>], limit: Duration) -> Result<Vec<Writing>, String> {
    let largest = tests.iter().map(WriteTest::size).max().unwrap_or_default();
    let mut settings = cluster.producer();
    settings
        // An idempotent producer always asks for all acknowledgements.
        .set("enable.idempotence", "false")
        .set("acks", INVALID_ACKS)
        .set("message.timeout.ms", limit.as_millis().to_string())
        .set(MAX_MESSAGE_BYTES, (largest + 4 * EXCESS).to_string())
        // A record of only zeros would be compressed below every limit.
        .set("compression.type", "none")
        .set("message.send.max.retries", "2")
        .set("batch.num.messages", "1");
    let context = WriteContext::default();
    let producer =
        BaseProducer::from_config_and_context(&settings, context.clone()).map_err(|error| describe(&error))?;
    let record = vec![0; largest];
    let end = Instant::now() + limit + Duration::from_secs(1);
    for test in tests {
        let value = record.get(..test.size()).unwrap_or_default();
        let mut record = BaseRecord::<(), [u8]>::to(test.topic).partition(test.partition).payload(value);
        while let Err((error, rejected)) = producer.send(record) {
            // With many topics, or large records, the queue is full until the first answers arrive.
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || Instant::now() >= end {
                context.add(test.topic, Writing::Unknown(error.to_string()));
                break;
            }
            producer.poll(Duration::from_millis(10));
            record = rejected;
        }
    }
    while producer.in_flight_count() > 0 && Instant::now() < end {
        producer.poll(Duration::from_millis(50));
    }
    producer.purge(PurgeConfig::default().queue().inflight());
    let answers = context.by_topic.lock();
    let unanswered = || Writing::Unknown("no answer in time".to_owned());
    Ok(tests.iter().map(|test| answers.get(test.topic).cloned().unwrap_or_else(unanswered)).collect())
}

/// Collects the brokers' answers.
#[derive(Clone, Default)]
pub(super) struct WriteContext {
    by_topic: Arc<Mutex<HashMap<String, Writing>>>,
}

impl WriteContext {
    fn add(&self, topic: &str, writing: Writing) {
        self.by_topic.lock().insert(topic.to_owned(), writing);
    }
}

impl ClientContext for WriteContext {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
    }
}

impl ProducerContext for WriteContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => self.add(message.topic(), Writing::Published),
            Err((error, message)) => self.add(message.topic(), answer(error)),
        }
    }
}

fn answer(error: &KafkaError) -> Writing {
    const ALLOWED: [RDKafkaErrorCode; 3] = [
        RDKafkaErrorCode::InvalidRequiredAcks,
        RDKafkaErrorCode::MessageSizeTooLarge,
        RDKafkaErrorCode::MessageBatchTooLarge,
    ];
    const NOT_ALLOWED: [RDKafkaErrorCode; 2] =
        [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::ClusterAuthorizationFailed];
    match error.rdkafka_error_code() {
        Some(code) if ALLOWED.contains(&code) => Writing::Allowed,
        Some(code) if NOT_ALLOWED.contains(&code) => Writing::NotAllowed,
        Some(_) | None => Writing::Unknown(error.to_string()),
    }
}
