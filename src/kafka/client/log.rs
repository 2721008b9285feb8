//! librdkafka's log.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// Forwards a line of librdkafka's log. Its lines name brokers and errors, never property values.
pub(in crate::kafka) fn forward(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(target: "kafka", facility, message);
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", facility, message),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", facility, message),
        // At this level the producer logs each change of a connection, whatever level the operator has configured.
        RDKafkaLogLevel::Debug => tracing::trace!(target: "kafka", facility, message),
    }
}

/// Logs a line of librdkafka's log at debug level, for a client whose problems are reported elsewhere.
pub(in crate::kafka) fn quiet_line(facility: &str, message: &str) {
    tracing::debug!(target: "kafka", facility, message);
}

/// Logs an error of librdkafka at debug level, for a client whose problems are reported elsewhere.
pub(in crate::kafka) fn quiet_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "kafka", %error, reason);
}
