//! One line to the broker: records go in, one report per record comes back, from the broker's delivery report and
//! nowhere else. `life` sees to it that there always is one that works.
//!
//! A record stays in the producer for two minutes whatever its sender is told meanwhile; that is what keeps a short
//! outage of the cluster from making duplicates. Nothing here may panic: librdkafka's thread would die of it, and with
//! it every later report.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::statistics::Statistics;

use super::health::Health;
pub use super::life::Producer;
use super::settings::Cluster;
use super::statistics::ProducerState;
use crate::outbox::{EventLine, FailureCode, Report, Token};
use crate::prepare::event_type::Entity;
use crate::prepare::record::Record;
use crate::telemetry::application::ApplicationMetrics;

/// What comes back with the report on a record.
#[derive(Clone)]
pub struct Ticket {
    /// The event of which the record is a part, as the outbox knows it.
    pub token: Token,
    /// The record's index among the event's records.
    pub record: u8,
    /// What the record is about.
    pub entity: Entity,
    /// When the record was handed over.
    pub handed_over: Instant,
    /// `eventTime`, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// The event's log line, if somebody reads it.
    pub line: Option<Box<EventLine>>,
    /// Whose event it is.
    pub application: Arc<ApplicationMetrics>,
}

/// Where a record came to stand.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset; negative where the broker found it had the record already.
    pub offset: i64,
}

/// Who takes the producer's reports. Called on librdkafka's thread: must be quick, and never panic.
pub trait Reports: Send + Sync {
    /// What the broker said of one record.
    fn report(&self, ticket: Ticket, topic: &str, report: Report, position: Option<Position>);
    /// The producer's state, about once a second.
    fn state(&self, state: ProducerState);
    /// The producer was replaced by a new one.
    fn recreated(&self);
    /// A partition that took no records takes them again.
    fn partitions_recovered(&self);
}

/// One producer of librdkafka, with the one beside it for records that travel alone. Its drop ends it, which blocks:
/// what has no report by then gets one that it failed.
pub(super) struct Line {
    inner: ThreadedProducer<Context>,
}

/// There is no producer: librdkafka refuses the settings, or the system gives no thread.
#[derive(Debug)]
pub struct ProducerFault(String);

impl ProducerFault {
    /// There is no thread to be had.
    pub(super) fn thread(error: &std::io::Error) -> Self {
        Self(format!("no thread could be started for the producer: {error}"))
    }
}

impl std::fmt::Display for ProducerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProducerFault {}

/// What a librdkafka error is, without the value of the property it is about, which could be a password.
#[must_use]
pub(super) fn describe(error: &KafkaError) -> String {
    let KafkaError::ClientConfig(_, problem, name, _) = error else { return error.to_string() };
    let problem = problem.split(['"', '=']).next().unwrap_or_default();
    format!("librdkafka does not take the property \"{name}\": {problem}; see its CONFIGURATION.md")
}

impl Line {
    /// Starts a producer and its polling thread. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] where librdkafka refuses a property.
    pub(super) fn start(
        cluster: &Cluster,
        reports: Arc<dyn Reports>,
        health: Arc<Health>,
    ) -> Result<Self, ProducerFault> {
        let settings = cluster.producer();
        let mut alone = settings.clone();
        alone.set("batch.num.messages", "1").set("statistics.interval.ms", "0");
        let alone = Some(Alone { settings: alone, producer: OnceLock::new() });
        let context = Context { reports, health, alone };
        let inner = ThreadedProducer::from_config_and_context(&settings, context)
            .map_err(|error| ProducerFault(format!("kafka.properties: {}", describe(&error))))?;
        Ok(Self { inner })
    }

    /// Hands a record over. Its report comes by [`Reports::report`], on another thread, unless the hand-over itself
    /// fails.
    ///
    /// # Errors
    /// [`Report::NoRoom`] where the queue is full, [`Report::Refused`] where the record is larger than the producer
    /// takes, [`Report::Failed`] for everything else.
    pub(super) fn send(&self, record: &Record, ticket: Ticket) -> Result<(), Report> {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value.as_bytes()) })
            });
        let mut base: BaseRecord<'_, str, [u8], Box<Ticket>> =
            BaseRecord::with_opaque_to(&record.topic, Box::new(ticket))
                .payload(record.value.as_slice())
                .timestamp(record.timestamp)
                .headers(headers);
        base.key = record.key.as_deref();
        self.inner.send(base).map_err(|(error, _)| classify(error.rdkafka_error_code()))
    }

    /// Waits until everything that was handed over has its report, or the time is over. Says how many are left.
    pub(super) fn flush(&self, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let left = flush(&self.inner, limit);
        // Second, because what the first gives up goes to it.
        left + self.alone().map_or(0, |alone| flush(alone, end.saturating_duration_since(Instant::now())))
    }

    /// Ends the waiting of what has no report yet: each gets one that it failed.
    pub(super) fn purge(&self) {
        let everything = || PurgeConfig::default().queue().inflight();
        self.inner.purge(everything());
        if let Some(alone) = self.alone() {
            alone.purge(everything());
        }
    }

    /// Whether librdkafka has given it up, so that it takes no record any more.
    pub(super) fn is_fatal(&self) -> bool {
        self.health().looking();
        self.inner.client().fatal_error().is_some()
            || self.alone().is_some_and(|alone| alone.client().fatal_error().is_some())
    }

    fn alone(&self) -> Option<&ThreadedProducer<Context>> {
        self.inner.context().alone.as_ref().and_then(|alone| alone.producer.get()?.as_ref())
    }

    /// The number of this producer, and what is known of its state.
    pub(super) fn health(&self) -> &Health {
        &self.inner.context().health
    }

    /// Asks the cluster for its topics, which also opens the connections: a cold producer's first record waits half a
    /// second for them. `None` where the cluster does not answer in time.
    pub(super) fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        let metadata = self.inner.client().fetch_metadata(None, limit).ok()?;
        Some(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }
}

fn flush(producer: &ThreadedProducer<Context>, limit: Duration) -> usize {
    match producer.flush(limit) {
        Ok(()) => 0,
        // That the time was over; the count also has what waits in the queue of reports, so it may be none by now.
        Err(_) => usize::try_from(producer.in_flight_count()).unwrap_or_default(),
    }
}

/// librdkafka's calls back into the service.
struct Context {
    reports: Arc<dyn Reports>,
    health: Arc<Health>,
    alone: Option<Alone>,
}

/// A producer that sends each record in a request of its own, for records whose whole batch was refused: so one
/// record that is too large does not condemn those that happened to travel with it.
struct Alone {
    settings: ClientConfig,
    producer: OnceLock<Option<ThreadedProducer<Context>>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::watch::log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let state = ProducerState::from(&statistics);
        self.health.epoch(state.epoch);
        // One that only waits for its last reports says nothing of how things are.
        if self.health.is_current() {
            self.reports.state(state);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.health.suspect();
        // The same text comes by `log` as well.
        tracing::debug!(target: "kafka", %error, reason, "librdkafka reports an error");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(message) => {
                let position = Position { partition: message.partition(), offset: message.offset() };
                self.reports.report(*ticket, message.topic(), Report::Confirmed, Some(position));
            }
            Err((error, message)) => self.failed(error, message, ticket),
        }
    }
}

impl Context {
    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>, ticket: Box<Ticket>) {
        let code = error.rdkafka_error_code();
        self.health.suspect();
        let report = classify(code);
        let shared = matches!(report, Report::Refused(_)) || code == Some(RDKafkaErrorCode::InvalidDifferentRecord);
        let ticket = match (&self.alone, shared) {
            (Some(alone), true) => match self.send_alone(alone, message, ticket) {
                Ok(()) => return,
                Err(ticket) => ticket,
            },
            _ => ticket,
        };
        tracing::warn!(target: "kafka", topic = message.topic(), %error, "a record was not taken");
        self.reports.report(*ticket, message.topic(), report, None);
    }

    fn send_alone(&self, alone: &Alone, message: &BorrowedMessage<'_>, ticket: Box<Ticket>) -> Result<(), Box<Ticket>> {
        let start = || {
            let context = Self { reports: Arc::clone(&self.reports), health: Arc::clone(&self.health), alone: None };
            ThreadedProducer::from_config_and_context(&alone.settings, context).ok()
        };
        let Some(producer) = alone.producer.get_or_init(start) else { return Err(ticket) };
        self.health.sends_alone();
        let message = message.detach();
        let mut record: BaseRecord<'_, [u8], [u8], Box<Ticket>> =
            BaseRecord::with_opaque_to(message.topic(), ticket).payload(message.payload().unwrap_or_default());
        record.key = message.key();
        record.timestamp = message.timestamp().to_millis();
        record.headers = message.headers().cloned();
        producer.send(record).map_err(|(_, record)| record.delivery_opaque)
    }
}

/// Sorts an error. Only these mean that a record can never succeed; whatever is not on the list can, so an error that
/// a later librdkafka invents is a failure to be retried.
fn classify(code: Option<RDKafkaErrorCode>) -> Report {
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            Report::Refused(FailureCode::RecordTooLarge)
        }
        Some(RDKafkaErrorCode::InvalidRecord) => Report::Refused(FailureCode::InvalidRecord),
        Some(RDKafkaErrorCode::QueueFull) => Report::NoRoom,
        _ => Report::Failed(FailureCode::Other),
    }
}
