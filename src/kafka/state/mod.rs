//! Kafka for the state topics: the consumer group over the event topics, the transactional producer, and the reader
//! that restores the state of a partition.
//!
//! All functions block, for a bounded time, and belong to one thread.

mod calls;
mod input;
mod restore;
mod writer;

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use calls::CallClock;
pub use input::{Bounds, Input, InputRecord, Membership, Polled};
pub use restore::{Restore, RestoreStep};
pub use writer::{HUNG_CALL, Output, WriteError, Writer};

use crate::kafka::client::{log, many_topics};
use crate::telemetry::log_code::LogCode;

/// Timeout of a request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum time between two log lines about connection problems.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A partition of an event topic and the partition of the same number of its state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The index of the topic pair.
    pub pair: usize,
    /// The number of the partition.
    pub number: i32,
}

/// The reason why an operation failed, with librdkafka's message. It can be retried, at the latest with a new client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub(super) String);

impl Failed {
    fn new(what: &str, error: &KafkaError) -> Self {
        Self(format!("{what}: {}", crate::kafka::client::error::describe(error)))
    }

    /// The thread that commits cannot be started.
    #[must_use]
    pub fn thread(error: &std::io::Error) -> Self {
        Self(format!("a thread cannot be started: {error}"))
    }

    /// The thread that commits has ended.
    #[must_use]
    pub fn ended() -> Self {
        Self("the thread that commits the states has ended".to_owned())
    }

    /// A call of librdkafka does not return.
    #[must_use]
    pub fn hung() -> Self {
        Self("a call to Kafka's client has not returned long after its timeout".to_owned())
    }

    /// Reports a topic that does not exist, or is hidden from this user.
    #[must_use]
    pub fn missing_topic(topic: &str) -> Self {
        Self(format!(
            "the topic \"{topic}\" does not exist, or this Kafka user may not see it; create it with `idaas-bridge \
            topics --create`, or grant DESCRIBE and READ"
        ))
    }

    /// Reports a state topic whose number of partitions differs from its event topic's.
    #[must_use]
    pub fn partitions_differ(events: &str, event_count: usize, states: &str, state_count: usize) -> Self {
        Self(format!(
            "\"{states}\" has {state_count} partitions and \"{events}\" has {event_count}; they must have the same \
             number, so create the state topic again"
        ))
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// Returns the number of partitions of each topic, or 0 if it does not exist.
///
/// # Errors
/// [`Failed`] if the cluster does not answer in time.
pub fn partition_counts(
    cluster: &crate::kafka::client::settings::Cluster,
    topics: &[&str],
) -> Result<Vec<usize>, Failed> {
    let consumer: BaseConsumer<LoggingContext> =
        BaseConsumer::from_config_and_context(&cluster.observer(), LoggingContext::default())
            .map_err(|error| Failed::new("the metadata client cannot start", &error))?;
    let counts = many_topics::partition_counts(topics, |topic| consumer.fetch_metadata(topic, REQUEST_TIMEOUT));
    counts.map_err(|error| Failed::new("the cluster does not describe its topics", &error))
}

/// The context of a client that only logs.
#[derive(Default)]
pub(super) struct LoggingContext {
    last_warning: Mutex<Option<Instant>>,
}

impl LoggingContext {
    /// Logs errors that keep a client from working, at most once a minute, and everything else at debug level.
    fn note(&self, error: &KafkaError, reason: &str) {
        let serious = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
            )
        );
        let mut last = self.last_warning.lock();
        if serious && last.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(target: "kafka", code = LogCode::StateConnection.as_str(), "{reason}");
        } else {
            log::quiet_error(error, reason);
        }
    }
}

impl ClientContext for LoggingContext {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error, reason);
    }
}

impl ConsumerContext for LoggingContext {}
