//! Tests whether this user may produce idempotently: a producer that publishes nothing requests its id.
//!
//! Since Kafka 3.0, WRITE on any topic is sufficient. Older brokers require IDEMPOTENT_WRITE on the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use crate::kafka::client::error::describe;
use crate::kafka::client::log;
use crate::kafka::client::settings::Cluster;

/// librdkafka's name for the state in which a producer has an id.
const ASSIGNED: &str = "Assigned";

/// The result of the test for idempotent production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotence {
    /// Allowed.
    Allowed,
    /// Denied, with librdkafka's message.
    NotAllowed(String),
    /// No answer in time.
    Unknown,
}

/// Runs the test. Blocks for at most `limit`.
///
/// # Errors
/// Returns an error if librdkafka rejects the settings.
pub fn idempotence(cluster: &Cluster, limit: Duration) -> Result<Idempotence, String> {
    let mut settings = cluster.producer();
    settings.set("statistics.interval.ms", "100");
    let state = State::default();
    let producer = BaseProducer::from_config_and_context(&settings, state.clone()).map_err(|error| describe(&error))?;
    let end = Instant::now() + limit;
    while Instant::now() < end {
        producer.poll(Duration::from_millis(50));
        if state.assigned.load(Ordering::Relaxed) {
            return Ok(Idempotence::Allowed);
        }
        if let Some((_, problem)) = producer.client().fatal_error() {
            return Ok(Idempotence::NotAllowed(problem));
        }
    }
    Ok(Idempotence::Unknown)
}

/// The part of the statistics that the test reads.
#[derive(Clone, Default)]
struct State {
    assigned: Arc<AtomicBool>,
}

impl ClientContext for State {
    fn stats(&self, statistics: Statistics) {
        if statistics.eos.is_some_and(|eos| eos.idemp_state == ASSIGNED) {
            self.assigned.store(true, Ordering::Relaxed);
        }
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
    }
}

impl ProducerContext for State {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
