//! librdkafka's log.

use rdkafka::config::RDKafkaLogLevel;

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
