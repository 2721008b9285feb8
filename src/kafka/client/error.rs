//! librdkafka's errors, without the values of properties.

use rdkafka::error::KafkaError;

/// The reason why a producer cannot be started.
#[derive(Debug)]
pub struct ProducerFault(String);

impl ProducerFault {
    /// Reports a thread that could not be started.
    pub(in crate::kafka) fn thread(error: &std::io::Error) -> Self {
        Self(format!("no thread could be started for the producer: {error}"))
    }

    /// Reports settings that librdkafka rejects.
    pub(in crate::kafka) fn settings(problem: &str) -> Self {
        Self(format!("kafka.properties: {problem}"))
    }

    /// Reports that the cluster does not answer a producer with these settings.
    pub(in crate::kafka) fn unanswered() -> Self {
        Self("Kafka does not answer a producer with the new settings; the old ones stay in use".to_owned())
    }
}

impl std::fmt::Display for ProducerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProducerFault {}

/// Describes a librdkafka error without the value of the property, which could be a password.
#[must_use]
pub(in crate::kafka) fn describe(error: &KafkaError) -> String {
    let KafkaError::ClientConfig(_, problem, name, _) = error else { return error.to_string() };
    let problem = problem.split(['"', '=']).next().unwrap_or_default();
    format!("librdkafka does not take the property \"{name}\": {problem}; see its CONFIGURATION.md")
}
