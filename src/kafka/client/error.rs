//! librdkafka's errors, without the values of properties.

use rdkafka::error::KafkaError;

use crate::diagnosis::{Diagnosis, misconfigured};
use crate::telemetry::log_code::LogCode;

/// Why there is no producer. The text shows no value of a property.
#[derive(Debug, thiserror::Error)]
pub enum ProducerFault {
    /// Reports a thread that could not be started.
    #[error("no thread could be started for the producer: {0}")]
    Thread(String),
    /// librdkafka rejects a property.
    #[error("kafka.properties: {0}")]
    Settings(String),
    /// The cluster does not answer a producer with these settings.
    #[error("Kafka does not answer a producer with the new settings; the old ones stay in use")]
    Unanswered,
}

impl ProducerFault {
    pub(in crate::kafka) fn thread(error: &std::io::Error) -> Self {
        Self::Thread(error.to_string())
    }

    pub(in crate::kafka) fn settings(problem: &str) -> Self {
        Self::Settings(problem.to_owned())
    }

    pub(in crate::kafka) const fn unanswered() -> Self {
        Self::Unanswered
    }
}

impl From<ProducerFault> for Diagnosis {
    fn from(fault: ProducerFault) -> Self {
        match fault {
            ProducerFault::Thread(_) => {
                Self::new(LogCode::NotStarted, fault.to_string(), "raise the limits on threads and open files")
            }
            ProducerFault::Settings(problem) => rejected_property(problem),
            ProducerFault::Unanswered => {
                let remedy = "correct the property, or check that the brokers accept it";
                misconfigured(fault.to_string(), remedy).at("kafka.properties")
            }
        }
    }
}

/// librdkafka rejects a property of `[kafka.properties]`.
pub(crate) fn rejected_property(problem: impl Into<String>) -> Diagnosis {
    misconfigured(problem, "correct or remove the property").at("kafka.properties")
}

/// Describes a librdkafka error without the value of the property, which could be a password.
#[must_use]
pub(in crate::kafka) fn describe(error: &KafkaError) -> String {
    let KafkaError::ClientConfig(_, problem, name, _) = error else { return error.to_string() };
    let problem = problem.split(['"', '=']).next().unwrap_or_default();
    format!("librdkafka rejects the property \"{name}\": {problem}; see its CONFIGURATION.md")
}
