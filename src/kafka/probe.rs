//! Would the producer's settings be taken, and would its records, and may they be read again? Asked without publishing
//! anything.
//!
//! Kafka has no request "may I write?" that librdkafka's safe bindings offer. But a broker looks at the permission
//! first, then whether enough replicas are in sync, then at the record's size: a record that is one page larger than
//! the topic takes is answered with exactly what stands in the way, and is never appended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{Offset, TopicPartitionList};

use super::producer::describe;
use super::settings::{Cluster, MAX_MESSAGE_BYTES};

/// How much larger than the topic's limit the record is, in bytes.
const EXCESS: usize = 64 << 10;
/// Topics that take more than this are not probed: too much to send for a question.
const LARGEST: usize = 32 << 20;

/// What a broker says to writing on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// Records are taken.
    Allowed,
    /// The user may not write, or not as an idempotent producer.
    NotAllowed,
    /// Too few replicas are in sync for a record to be confirmed.
    TooFewReplicas,
    /// Could not be found out, in words.
    Unknown(String),
}

/// What librdkafka says against the producer's settings, certificates and key tabs included, in words that show no
/// value. Connects to nothing.
#[must_use]
pub fn settings_fault(cluster: &Cluster) -> Option<String> {
    let mut settings = cluster.producer();
    settings.remove("bootstrap.servers");
    BaseProducer::from_config_and_context(&settings, Context::default()).err().map(|error| describe(&error))
}

/// Asks for each topic (name, and the largest record that it takes in bytes) whether records are taken. Blocks for
/// `limit` at most.
///
/// # Errors
/// What librdkafka says against the settings.
pub fn writing(cluster: &Cluster, topics: &[(&str, usize)], limit: Duration) -> Result<Vec<Writing>, String> {
    let largest = topics.iter().map(|(_, limit)| *limit).filter(|limit| *limit <= LARGEST).max().unwrap_or_default();
    let mut settings = cluster.producer();
    settings
        .set("message.timeout.ms", limit.as_millis().to_string())
        .set(MAX_MESSAGE_BYTES, (largest + 4 * EXCESS).to_string())
        // A record of nothing but zeros would shrink below every limit.
        .set("compression.type", "none")
        // An answer is wanted, not a record that is taken in the end.
        .set("message.send.max.retries", "2")
        .set("batch.num.messages", "1");
    let context = Context::default();
    let producer =
        BaseProducer::from_config_and_context(&settings, context.clone()).map_err(|error| describe(&error))?;
    let mut asked = 0;
    let record = vec![0; largest + EXCESS];
    for (topic, limit) in topics.iter().filter(|(_, limit)| *limit <= LARGEST) {
        let Some(value) = record.get(..limit + EXCESS) else { continue };
        match producer.send(BaseRecord::<(), [u8]>::to(topic).payload(value)) {
            Ok(()) => asked += 1,
            Err((error, _)) => context.answer(topic, Writing::Unknown(error.to_string())),
        }
    }
    let end = Instant::now() + limit + Duration::from_secs(1);
    while producer.in_flight_count() > 0 && asked > 0 && Instant::now() < end {
        producer.poll(Duration::from_millis(50));
    }
    producer.purge(PurgeConfig::default().queue().inflight());
    let answers = context.answers.lock();
    let answer = |(topic, limit): &(&str, usize)| {
        if *limit > LARGEST {
            return Writing::Unknown(format!("the topic takes {limit} bytes, too much to send for a question"));
        }
        answers.get(*topic).cloned().unwrap_or_else(|| Writing::Unknown("no answer in time".to_owned()))
    };
    Ok(topics.iter().map(answer).collect())
}

/// What a broker says to reading the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Records are given.
    Allowed,
    /// The user may not read one of them.
    NotAllowed,
    /// No answer in time.
    Unknown,
}

/// Asks whether the topics' records are given to this user: by a look at the end of each. Blocks for `limit` at most.
///
/// # Errors
/// What librdkafka says against the settings.
pub fn reading(cluster: &Cluster, topics: &[&str], limit: Duration) -> Result<Reading, String> {
    let mut settings = cluster.observer();
    settings
        // librdkafka wants the name of a group before it assigns anything. No group is joined.
        .set("group.id", "idaas-bridge-check")
        .set("enable.auto.commit", "false")
        // The end is an answer as well.
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(&settings, Context::default()).map_err(|error| describe(&error))?;
    let mut places = TopicPartitionList::new();
    for topic in topics {
        places.add_partition_offset(topic, 0, Offset::End).map_err(|error| error.to_string())?;
    }
    consumer.assign(&places).map_err(|error| error.to_string())?;
    let end = Instant::now() + limit;
    let mut unanswered = topics.len();
    while unanswered > 0 {
        match consumer.poll(end.saturating_duration_since(Instant::now())) {
            Some(Err(KafkaError::PartitionEOF(_))) => unanswered -= 1,
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                return Ok(Reading::NotAllowed);
            }
            Some(_) => {}
            None => return Ok(Reading::Unknown),
        }
    }
    Ok(Reading::Allowed)
}

/// Collects what the brokers say.
#[derive(Clone, Default)]
struct Context {
    answers: Arc<Mutex<HashMap<String, Writing>>>,
}

impl Context {
    fn answer(&self, topic: &str, writing: Writing) {
        self.answers.lock().insert(topic.to_owned(), writing);
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                let words = format!("it took a record of {} bytes, above its limit", message.payload_len());
                self.answer(message.topic(), Writing::Unknown(words));
            }
            Err((error, message)) => self.answer(message.topic(), sorted(error)),
        }
    }
}

fn sorted(error: &KafkaError) -> Writing {
    const ALLOWED: [RDKafkaErrorCode; 2] =
        [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::MessageBatchTooLarge];
    const NOT_ALLOWED: [RDKafkaErrorCode; 2] =
        [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::ClusterAuthorizationFailed];
    const TOO_FEW: [RDKafkaErrorCode; 2] =
        [RDKafkaErrorCode::NotEnoughReplicas, RDKafkaErrorCode::NotEnoughReplicasAfterAppend];
    match error.rdkafka_error_code() {
        Some(code) if ALLOWED.contains(&code) => Writing::Allowed,
        Some(code) if NOT_ALLOWED.contains(&code) => Writing::NotAllowed,
        Some(code) if TOO_FEW.contains(&code) => Writing::TooFewReplicas,
        _ => Writing::Unknown(error.to_string()),
    }
}
