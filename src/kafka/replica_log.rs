//! The coordination topic: one partition that all replicas write and read.
//!
//! Its records are read in order, beginning some minutes ago. A record that cannot be written within seconds is
//! dropped, because a late one would be outdated.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::client::error::describe;
use crate::kafka::client::log;
use crate::kafka::client::settings::Cluster;
use crate::kafka::client::timestamp::ago;

/// Age of the records from which reading starts.
const HISTORY: Duration = Duration::from_secs(600);

/// Timeout of a request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

const PARTITION: i32 = 0;

/// The availability of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It exists.
    Present,
    /// It does not exist.
    Missing,
    /// This user may not describe, read or write it.
    Denied,
    /// The cluster does not answer.
    Unknown,
}

/// The result of waiting for a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A record with its position and value.
    Record(i64, Vec<u8>),
    /// No record came in time.
    Nothing,
    /// The topic no longer exists, or may not be read.
    Unusable(Presence),
}

/// A reader and a writer of the topic. Waiting blocks.
pub struct ReplicaLog {
    topic: String,
    consumer: BaseConsumer<Quiet>,
    producer: BaseProducer<Quiet>,
    /// The position of the next record.
    next: i64,
}

impl ReplicaLog {
    /// Creates both clients. Sends nothing yet.
    ///
    /// # Errors
    /// Returns an error if librdkafka rejects the settings.
    pub fn new(cluster: &Cluster, topic: &str) -> Result<Self, String> {
        let mut reading = cluster.partition_reader("replicas");
        for (name, value) in [
            ("fetch.wait.max.ms", "500"),
            ("fetch.error.backoff.ms", "50"),
            ("queued.max.messages.kbytes", "8192"),
            ("auto.offset.reset", "earliest"),
        ] {
            reading.set(name, value);
        }
        let consumer = BaseConsumer::from_config_and_context(&reading, Quiet).map_err(|error| describe(&error))?;
        let mut writing = cluster.producer();
        for (name, value) in [
            // A duplicate record is harmless, and an idempotent producer fails with its first lost record.
            ("enable.idempotence", "false"),
            ("max.in.flight.requests.per.connection", "1"),
            ("message.timeout.ms", "2000"),
            ("statistics.interval.ms", "0"),
        ] {
            writing.set(name, value);
        }
        let producer = BaseProducer::from_config_and_context(&writing, Quiet).map_err(|error| describe(&error))?;
        Ok(Self { topic: topic.to_owned(), consumer, producer, next: 0 })
    }

    /// Returns the availability of the topic.
    #[must_use]
    pub fn presence(&self) -> Presence {
        let Ok(metadata) = self.consumer.fetch_metadata(Some(&self.topic), REQUEST_TIMEOUT) else {
            return Presence::Unknown;
        };
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        let Some(found) = found else { return Presence::Missing };
        match found.error().map(RDKafkaErrorCode::from) {
            None if found.partitions().iter().all(|partition| partition.leader() < 0) => Presence::Unknown,
            None => Presence::Present,
            Some(code) => presence(code),
        }
    }

    /// Starts to read from some minutes ago. Returns false if the broker does not answer.
    pub fn begin(&mut self) -> bool {
        let mut places = TopicPartitionList::new();
        if places.add_partition_offset(&self.topic, PARTITION, Offset::Offset(ago(HISTORY))).is_err() {
            return false;
        }
        let Ok(begins) = self.consumer.offsets_for_times(places, REQUEST_TIMEOUT) else { return false };
        let begin = begins.find_partition(&self.topic, PARTITION).map(|found| (found.error(), found.offset()));
        let Some((Ok(()), begin)) = begin else { return false };
        let begin = match begin {
            Offset::Offset(offset) => offset,
            // No record is that recent, so reading begins at the end.
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => {
                match self.end() {
                    Some(end) => end,
                    None => return false,
                }
            }
        };
        let mut places = TopicPartitionList::new();
        let assigned = places
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(begin))
            .and_then(|()| self.consumer.assign(&places));
        self.next = begin;
        assigned.is_ok()
    }

    /// Returns the current end of the topic. `None` if the broker does not answer.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.consumer.fetch_watermarks(&self.topic, PARTITION, REQUEST_TIMEOUT).ok().map(|(_, end)| end)
    }

    /// Returns the position of the next record that will be read.
    #[must_use]
    pub const fn next_position(&self) -> i64 {
        self.next
    }

    /// Waits for the next record.
    pub fn read(&mut self, limit: Duration) -> Read {
        match self.consumer.poll(limit) {
            None => Read::Nothing,
            Some(Ok(message)) => {
                let position = message.offset();
                let value = message.payload().unwrap_or_default().to_vec();
                self.next = position + 1;
                Read::Record(position, value)
            }
            Some(Err(error)) => {
                tracing::debug!(target: "kafka", %error, "reading the coordination topic continues");
                let state = error.rdkafka_error_code().map_or(Presence::Unknown, presence);
                match state {
                    Presence::Missing | Presence::Denied => Read::Unusable(state),
                    Presence::Present | Presence::Unknown => Read::Nothing,
                }
            }
        }
    }

    /// Writes a record. It counts as written only when it is read back.
    pub fn write(&self, value: &[u8]) {
        let record = BaseRecord::<(), [u8]>::to(&self.topic).partition(PARTITION).payload(value);
        if let Err((error, _)) = self.producer.send(record) {
            tracing::debug!(target: "kafka", %error, "a record of the coordination topic was not written");
        }
        self.serve();
    }

    /// Serves the producer's callbacks.
    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Drops records that have not been written yet.
    pub fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.serve();
    }

    /// Waits until everything is written, for at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.producer.in_flight_count() > 0 && Instant::now() < end {
            self.producer.poll(Duration::from_millis(10));
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
fn presence(code: RDKafkaErrorCode) -> Presence {
    match code {
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition => Presence::Missing,
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => Presence::Denied,
        // Also GroupAuthorizationFailed: librdkafka asks for the coordinator of a group that is never joined.
        _ => Presence::Unknown,
    }
}

/// Logs at debug level, because outages are logged elsewhere.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            tracing::debug!(target: "kafka", %error, "a record of the coordination topic was not written");
        }
    }
}
