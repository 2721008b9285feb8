//! The transactional producer: publishes state records and commits the offsets of their events, atomically.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_state::Record;
use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{CallClock, Failed, LoggingContext, Membership, Partition};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::client::error::describe;
use crate::kafka::client::polled::Polled;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::liveness::Liveness;

/// Timeout of one call to the transaction coordinator, after which it is repeated.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a call that has not returned never will.
pub const HUNG_CALL: Duration = Duration::from_secs(30);

/// Maximum time for which a call is repeated before the producer is given up. Longer than a transaction may last.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Interval before a call is repeated, or before the next try if the queue is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A record for a state topic.
pub struct Output {
    /// The destination.
    pub partition: Partition,
    /// The record.
    pub record: Record,
    /// Its timestamp in milliseconds since 1970, taken from the event's record.
    pub timestamp: i64,
}

/// The reason why a transaction was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// The transaction was aborted. It can be retried.
    Aborted(String),
    /// The transaction was aborted, because this instance no longer owns the partitions.
    Fenced(String),
    /// The producer cannot continue. It is unknown whether the transaction was committed.
    Broken {
        /// librdkafka's message.
        problem: String,
        /// True if another producer has the same transactional id.
        fenced: bool,
    },
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Aborted(problem) | Self::Fenced(problem) | Self::Broken { problem, .. } => f.write_str(problem),
        }
    }
}

impl std::error::Error for WriteError {}

/// The transactional producer. Dropping it blocks.
pub struct Writer {
    producer: Polled<Reports>,
    pairs: Arc<[TopicPair]>,
    calls: Arc<CallClock>,
}

impl Writer {
    /// Starts a producer, and aborts the transaction that an earlier one left open.
    ///
    /// # Errors
    /// [`Failed`] if librdkafka rejects a property, or the coordinator does not answer in time.
    pub fn start(
        cluster: &Cluster,
        transactional_id: &str,
        pairs: &Arc<[TopicPair]>,
        max_batch_bytes: usize,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, Failed> {
        let settings = cluster.transactional(transactional_id, max_batch_bytes);
        let producer =
            Polled::start(&settings, Reports::default(), liveness).map_err(|fault| Failed(fault.to_string()))?;
        let writer = Self { producer, pairs: Arc::clone(pairs), calls: Arc::default() };
        writer
            .repeated(|| writer.producer.get().init_transactions(CALL_TIMEOUT))
            .map_err(|error| Failed::new("transactions cannot be used", &error))?;
        Ok(writer)
    }

    /// Publishes records and commits offsets in one transaction. Returns the offsets after the published records by
    /// partition.
    ///
    /// # Errors
    /// [`WriteError`]. A new producer is needed only after [`WriteError::Broken`].
    pub fn commit(
        &self,
        outputs: &[Output],
        offsets: &BTreeMap<Partition, i64>,
        membership: &Membership,
    ) -> Result<BTreeMap<Partition, i64>, WriteError> {
        self.reports().begin(outputs);
        self.repeated(|| self.producer.get().begin_transaction()).map_err(|error| broken(&error))?;
        let published = self.publish(outputs).and_then(|()| self.send_offsets(offsets, membership));
        if let Err(error) = published {
            return Err(self.abort(&error));
        }
        match self.repeated(|| self.producer.get().commit_transaction(CALL_TIMEOUT)) {
            Ok(()) => Ok(self.reports().ends()),
            Err(error) if requires_abort(&error) => Err(self.abort(&error)),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Returns the clock of its calls.
    #[must_use]
    pub fn calls(&self) -> Arc<CallClock> {
        Arc::clone(&self.calls)
    }

    fn reports(&self) -> &Reports {
        self.producer.get().client().context()
    }

    fn publish(&self, outputs: &[Output]) -> Result<(), KafkaError> {
        for (index, output) in outputs.iter().enumerate() {
            let Some(pair) = self.pairs.get(output.partition.pair) else { continue };
            let headers = output
                .record
                .headers
                .iter()
                .fold(OwnedHeaders::new_with_capacity(output.record.headers.len()), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
            let mut record = BaseRecord::with_opaque_to(&pair.states, index)
                .partition(output.partition.number)
                .key(output.record.key.as_bytes())
                .headers(headers)
                .timestamp(output.timestamp);
            if let Some(value) = &output.record.value {
                record = record.payload(value.as_slice());
            }
            let end = Instant::now() + CALL_LIMIT;
            while let Err((error, unsent)) = self.producer.get().send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || Instant::now() >= end {
                    return Err(error);
                }
                record = unsent;
                std::thread::sleep(RETRY_INTERVAL);
            }
        }
        Ok(())
    }

    fn send_offsets(&self, offsets: &BTreeMap<Partition, i64>, membership: &Membership) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            if let Some(pair) = self.pairs.get(partition.pair) {
                list.add_partition_offset(&pair.events, partition.number, Offset::Offset(*offset))?;
            }
        }
        self.repeated(|| self.producer.get().send_offsets_to_transaction(&list, &membership.0, CALL_TIMEOUT))
    }

    /// Aborts the transaction because of `cause`.
    fn abort(&self, cause: &KafkaError) -> WriteError {
        if is_fatal(cause) {
            return broken(cause);
        }
        match self.repeated(|| self.producer.get().abort_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                let failure = self.reports().failure.lock().take();
                let problem = failure.unwrap_or_else(|| describe(cause));
                if is_fenced_member(cause) { WriteError::Fenced(problem) } else { WriteError::Aborted(problem) }
            }
            Err(error) => broken(&error),
        }
    }

    /// Repeats a call as long as its error is retriable.
    fn repeated(&self, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        let end = Instant::now() + CALL_LIMIT;
        loop {
            match self.calls.during(&call) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() < end && is_retriable(&error) => std::thread::sleep(RETRY_INTERVAL),
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    if let KafkaError::Transaction(error) = error {
        return error.is_retriable() && !error.txn_requires_abort() && !error.is_fatal();
    }
    // Records are still in flight. Their own timeout ends the wait.
    matches!(error, KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

fn is_fatal(error: &KafkaError) -> bool {
    if let KafkaError::Transaction(error) = error {
        return error.is_fatal();
    }
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

fn is_fenced_member(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::RebalanceInProgress,
        )
    )
}

fn broken(error: &KafkaError) -> WriteError {
    let fenced = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::InvalidProducerIdMapping,
        )
    );
    WriteError::Broken { problem: describe(error), fenced }
}

fn is_purged(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight))
}

/// Collects the delivery reports of the current transaction.
#[derive(Default)]
struct Reports {
    logging: LoggingContext,
    partitions: Mutex<Vec<Partition>>,
    ends: Mutex<BTreeMap<Partition, i64>>,
    failure: Mutex<Option<String>>,
}

impl Reports {
    fn begin(&self, outputs: &[Output]) {
        *self.partitions.lock() = outputs.iter().map(|output| output.partition).collect();
        self.ends.lock().clear();
        *self.failure.lock() = None;
    }

    fn ends(&self) -> BTreeMap<Partition, i64> {
        self.ends.lock().clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        match result {
            Ok(message) => {
                let partition = self.partitions.lock().get(index).copied();
                if let Some(partition) = partition {
                    let mut ends = self.ends.lock();
                    let end = ends.entry(partition).or_default();
                    *end = (*end).max(message.offset() + 1);
                }
            }
            // A purged record is the consequence of an abort, not its cause.
            Err((error, _)) if is_purged(error) => {}
            Err((error, _)) => {
                self.failure.lock().get_or_insert_with(|| describe(error));
            }
        }
    }
}
