//! Would the producer's settings be accepted, may this user write and read? Asked without publishing anything.

mod idempotence;
mod reading;
mod writing;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

pub use self::idempotence::{Idempotence, idempotence};
pub use self::reading::{Reading, reading};
pub use self::writing::{Writing, WritingQuestion, writing};
use crate::kafka::client::error::describe;
use crate::kafka::client::settings::Cluster;

/// What librdkafka says against the producer's settings, certificates and key tabs included, in words that show no
/// value. Connects to nothing.
#[must_use]
pub fn settings_fault(cluster: &Cluster) -> Option<String> {
    let mut settings = cluster.producer();
    settings.remove("bootstrap.servers");
    BaseProducer::from_config_and_context(&settings, writing::Answers::default()).err().map(|error| describe(&error))
}

/// Says nothing but at the level of debugging: the answers are what counts.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason);
    }
}

impl ConsumerContext for Silent {}
