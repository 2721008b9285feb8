//! Tests whether librdkafka accepts the producer's settings, and what this user may do. Publishes nothing.

mod idempotence;
mod membership;
mod reading;
mod transactions;
mod writing;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

pub use self::idempotence::{Idempotence, idempotence};
pub use self::membership::membership;
pub use self::reading::{Reading, reading};
pub use self::transactions::transactions;
pub use self::writing::{WriteTest, Writing, writing};
use crate::kafka::client::error::describe;
use crate::kafka::client::log;
use crate::kafka::client::settings::Cluster;

/// The result of a test whether this user may use something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// The user may use it.
    Allowed,
    /// The user may not use it.
    NotAllowed,
    /// Unknown, with the reason.
    Unknown(String),
}

/// Returns the reason why librdkafka rejects the producer's settings, including certificates and key tabs. The text
/// contains no value. Connects to nothing.
#[must_use]
pub fn settings_fault(cluster: &Cluster) -> Option<String> {
    let mut settings = cluster.producer();
    settings.remove("bootstrap.servers");
    let producer = BaseProducer::from_config_and_context(&settings, writing::WriteContext::default());
    producer.err().map(|error| describe(&error))
}

/// Logs at debug level only, because the test results matter, not the log lines.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
    }
}

impl ConsumerContext for Silent {}
