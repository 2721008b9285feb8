//! Reads partitions from given offsets: for commands, for the dedup cache, and to follow other replicas.
//!
//! Partitions are assigned directly, without a consumer group, and no offset is committed, so reading changes nothing
//! on the cluster. `PartitionReader::next` returns only what a record of our topics reveals about its event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::ReadFault;
use super::our_topics::Scope;
use super::published_record::{PublishedRecord, decode};
use crate::kafka::client::connection_error::ErrorCollector;
use crate::kafka::client::error::describe;
use crate::kafka::client::headers;
use crate::kafka::client::settings::Cluster;

/// Duration of the first attempt of a request, after which librdkafka's errors are checked.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum duration of a later attempt.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum duration of a seek.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// The partitions of topics, each with an offset.
pub(super) type Offsets = BTreeMap<Arc<str>, BTreeMap<i32, i64>>;

/// The fetch settings of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchProfile {
    /// Fetches as much as possible, as fast as possible.
    Fast,
    /// Fetches rarely: two requests per second and broker, or as soon as there is much data.
    Relaxed,
}

impl FetchProfile {
    const fn settings(self) -> [(&'static str, &'static str); 8] {
        match self {
            Self::Fast => [
                // Open transactions of other producers do not delay our records.
                ("isolation.level", "read_uncommitted"),
                ("fetch.wait.max.ms", "10"),
                ("fetch.min.bytes", "1"),
                ("fetch.max.bytes", "4194304"),
                ("queued.max.messages.kbytes", "8192"),
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.error.backoff.ms", "50"),
                // Used if retention has already removed the offset.
                ("auto.offset.reset", "earliest"),
            ],
            Self::Relaxed => [
                ("isolation.level", "read_uncommitted"),
                ("fetch.wait.max.ms", "500"),
                ("fetch.min.bytes", "262144"),
                ("fetch.max.bytes", "4194304"),
                ("queued.max.messages.kbytes", "8192"),
                ("fetch.queue.backoff.ms", "100"),
                ("fetch.error.backoff.ms", "500"),
                // A partition whose end offset became invalid is not read from its beginning, which can be weeks ago.
                ("auto.offset.reset", "latest"),
            ],
        }
    }
}

/// A record of one of our topics, with what it reveals about its event. An invalid record reveals nothing.
pub(super) struct ReadRecord {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) published_record: Option<PublishedRecord>,
}

/// A consumer of assigned partitions.
pub(super) struct PartitionReader {
    pub(super) consumer: BaseConsumer<ErrorCollector>,
    pub(super) errors: ErrorCollector,
}

impl PartitionReader {
    /// Creates a reader without partitions. `name` distinguishes it from the service's other readers, for example in
    /// quotas.
    ///
    /// # Errors
    /// A message, if librdkafka rejects a property.
    pub(super) fn start(cluster: &Cluster, name: &str, properties: &[(&str, &str)]) -> Result<Self, String> {
        let mut settings = cluster.partition_reader(name);
        for (name, value) in properties {
            settings.set(*name, *value);
        }
        let errors = ErrorCollector::default();
        let consumer = BaseConsumer::from_config_and_context(&settings, errors.clone());
        Ok(Self { consumer: consumer.map_err(|error| describe(&error))?, errors })
    }

    /// Creates a reader of events.
    pub(super) fn of_events(cluster: &Cluster, profile: FetchProfile) -> Result<Self, ReadFault> {
        Self::start(cluster, "memory", &profile.settings()).map_err(ReadFault::Settings)
    }

    /// Repeats a request until it is answered, the time is over, or it is certain that no broker will answer.
    pub(super) fn ask<T>(
        &self,
        end: Instant,
        request: impl Fn(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, ReadFault> {
        let mut timeout = REQUEST_TIMEOUT;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let answer = request(rest.clamp(Duration::from_millis(1), timeout));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if rest.is_zero() || self.errors.is_decided() => return Err(self.unreachable(&error)),
                Err(error) if is_refused(&error) => return Err(ReadFault::NotAllowed),
                // Serves the error callback.
                Err(_) => drop(self.consumer.poll(Duration::ZERO)),
            }
            // A large answer can take longer than the first attempt allows.
            timeout = timeout.saturating_mul(2).min(MAX_REQUEST_TIMEOUT);
        }
    }

    pub(super) fn unreachable(&self, error: &KafkaError) -> ReadFault {
        let unreachable = self.errors.unreachable();
        if unreachable.errors.is_empty()
            && let Some(code) = error.rdkafka_error_code()
        {
            self.errors.record(code, &error.to_string());
            return ReadFault::Unreachable(self.errors.unreachable());
        }
        ReadFault::Unreachable(unreachable)
    }

    /// Adds these partitions, and reads them from these offsets on.
    pub(super) fn read(&self, offsets: &Offsets) -> Result<(), ReadFault> {
        if offsets.values().all(BTreeMap::is_empty) {
            return Ok(());
        }
        self.consumer.incremental_assign(&self.list(offsets)?).map_err(|error| self.unreachable(&error))
    }

    /// Stops reading these partitions, whatever their offsets.
    pub(super) fn stop(&self, offsets: &Offsets) -> Result<(), ReadFault> {
        if offsets.values().all(BTreeMap::is_empty) {
            return Ok(());
        }
        self.consumer.incremental_unassign(&self.list(offsets)?).map_err(|error| self.unreachable(&error))
    }

    /// Continues reading these partitions at other offsets. Records of the old offsets are no longer returned after
    /// this, because librdkafka drops what it has fetched before. Returns the partitions that were moved.
    pub(super) fn seek(&self, offsets: &Offsets) -> Result<Offsets, ReadFault> {
        if offsets.values().all(BTreeMap::is_empty) {
            return Ok(Offsets::new());
        }
        let moved = self
            .consumer
            .seek_partitions(self.list(offsets)?, SEEK_TIMEOUT)
            .map_err(|error| self.unreachable(&error))?;
        let mut done = Offsets::new();
        for element in moved.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                done.entry(Arc::from(element.topic())).or_default().insert(element.partition(), offset);
            }
        }
        Ok(done)
    }

    fn list(&self, offsets: &Offsets) -> Result<TopicPartitionList, ReadFault> {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in offsets {
            for (partition, offset) in partitions {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                    .map_err(|error| self.unreachable(&error))?;
            }
        }
        Ok(list)
    }

    /// Returns the next record, or an error that can be temporary. `None` if neither arrives within `limit`.
    pub(super) fn poll(&self, limit: Duration) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        self.consumer.poll(limit)
    }

    /// Returns the next record of a topic in `scope`. `None` if none arrives within `limit`, or after a temporary
    /// error.
    pub(super) fn next(&self, scope: &Scope, limit: Duration) -> Result<Option<ReadRecord>, ReadFault> {
        match self.poll(limit) {
            None => Ok(None),
            Some(Ok(message)) => Ok(read_record(scope, &message)),
            Some(Err(error)) if is_refused(&error) => Err(ReadFault::NotAllowed),
            Some(Err(error)) => {
                tracing::debug!(target: "kafka", %error, "reading continues");
                Ok(None)
            }
        }
    }

    /// Closes the reader on a background thread, because closing blocks. Closes it here if no thread can be started.
    pub(super) fn end(self) {
        let _ = std::thread::Builder::new().name("reader's end".to_owned()).spawn(move || drop(self));
    }

    /// Returns how far it has read. Positions also advance past markers of others' transactions, which are not
    /// records.
    pub(super) fn positions(&self) -> Offsets {
        let mut offsets = Offsets::new();
        for element in self.consumer.position().iter().flat_map(TopicPartitionList::elements) {
            if let Offset::Offset(offset) = element.offset() {
                offsets.entry(Arc::from(element.topic())).or_default().insert(element.partition(), offset);
            }
        }
        offsets
    }
}

fn is_refused(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

fn read_record(scope: &Scope, message: &BorrowedMessage<'_>) -> Option<ReadRecord> {
    let (topic, entity) = scope.topic(message.topic())?;
    Some(ReadRecord {
        topic: Arc::clone(topic),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
        published_record: headers::read(message, |headers| {
            decode(scope, entity, headers, message.payload().unwrap_or_default())
        }),
    })
}
