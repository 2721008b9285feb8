//! Classifies librdkafka's errors on records, and decides which of them are logged.

use std::time::{Duration, Instant};

use outbox::{DeliveryReport, FailureCode};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::delivery::DeliveryTag;
use crate::telemetry::log_code::LogCode;

/// Minimum time between two log lines with the same code, so that an outage does not fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The class of a record's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordError {
    /// The record may succeed later.
    Retry(FailureCode),
    /// The batch was rejected, possibly because of this record. Only a request with this record alone shows the
    /// cause.
    Alone(FailureCode),
    /// The queue is full.
    QueueFull,
}

impl RecordError {
    /// Classifies an error. All errors that are not listed can succeed later, because librdkafka and brokers add new
    /// errors.
    pub(super) fn of(code: Option<RDKafkaErrorCode>) -> Self {
        use RDKafkaErrorCode as E;
        match code {
            Some(E::MessageSizeTooLarge | E::MessageBatchTooLarge) => Self::Alone(FailureCode::RecordTooLarge),
            Some(E::InvalidRecord) => Self::Alone(FailureCode::InvalidRecord),
            Some(E::PolicyViolation) => Self::Alone(FailureCode::PolicyViolation),
            Some(E::InvalidTimestamp) => Self::Alone(FailureCode::InvalidTimestamp),
            // Another record of the batch is invalid.
            Some(E::InvalidDifferentRecord) => Self::Alone(FailureCode::Other),
            Some(E::QueueFull) => Self::QueueFull,
            Some(E::MessageTimedOut | E::OperationTimedOut | E::RequestTimedOut | E::TimedOutQueue) => {
                Self::Retry(FailureCode::TimedOut)
            }
            Some(E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed) => {
                Self::Retry(FailureCode::NotAuthorized)
            }
            Some(
                E::UnknownTopic
                | E::UnknownTopicOrPartition
                | E::UnknownPartition
                | E::UnknownTopicId
                | E::InvalidTopic,
            ) => Self::Retry(FailureCode::UnknownTopic),
            Some(E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend | E::ISRInsufficient) => {
                Self::Retry(FailureCode::NotEnoughReplicas)
            }
            Some(
                E::LeaderNotAvailable
                | E::NotLeaderForPartition
                | E::BrokerNotAvailable
                | E::ReplicaNotAvailable
                | E::NetworkException
                | E::BrokerTransportFailure
                | E::KafkaStorageError
                | E::FencedLeaderEpoch
                | E::UnknownLeaderEpoch,
            ) => Self::Retry(FailureCode::PartitionUnavailable),
            Some(E::PurgeQueue | E::PurgeInflight) => Self::Retry(FailureCode::ProducerReplaced),
            Some(E::Fatal | E::State) => Self::Retry(FailureCode::ProducerFailed),
            _ => Self::Retry(FailureCode::Other),
        }
    }

    /// Returns the report for a record that was sent in a request of its own, or that the producer itself rejects.
    pub(super) const fn when_alone(self) -> DeliveryReport {
        match self {
            // A record that is sent alone because of its timestamp has the current time. If that is rejected too, the
            // clock of this host or of the broker is wrong, and a dead letter would be rejected as well.
            Self::Retry(code) | Self::Alone(code @ (FailureCode::Other | FailureCode::InvalidTimestamp)) => {
                DeliveryReport::Failed(code)
            }
            Self::Alone(code) => DeliveryReport::Rejected(code),
            Self::QueueFull => DeliveryReport::QueueFull,
        }
    }

    /// Returns the report for a record that never had a request of its own.
    pub(super) const fn when_batched(self) -> DeliveryReport {
        match self {
            Self::Retry(code) | Self::Alone(code) => DeliveryReport::Failed(code),
            Self::QueueFull => DeliveryReport::QueueFull,
        }
    }
}

/// Logs failed records: the first of each code, then one per minute with the number of those not logged.
#[derive(Default)]
pub(super) struct FailureLog {
    last: Mutex<Vec<(FailureCode, Instant, u64)>>,
}

impl FailureLog {
    pub(super) fn failed(&self, code: FailureCode, tag: &DeliveryTag, topic: &str, error: &KafkaError) {
        let Some(suppressed) = self.is_due(code, Instant::now()) else { return };
        tracing::warn!(
            target: "kafka",
            code = LogCode::RecordFailed.as_str(),
            reason = code.code(),
            topic,
            application = tag.application.name(),
            event_id = tag.event.event_id(),
            suppressed,
            "a record was not published: {error}"
        );
    }

    /// Returns the number of failures with this code that have not been logged since the last one that was. `None` if
    /// this one must not be logged either.
    fn is_due(&self, code: FailureCode, now: Instant) -> Option<u64> {
        let mut last = self.last.lock();
        let Some((_, at, suppressed)) = last.iter_mut().find(|(known, _, _)| *known == code) else {
            last.push((code, now, 0));
            return Some(0);
        };
        if now.saturating_duration_since(*at) < LOG_INTERVAL {
            *suppressed += 1;
            return None;
        }
        *at = now;
        Some(std::mem::take(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_error_is_retried_and_never_refused() {
        for code in [None, Some(RDKafkaErrorCode::Unknown), Some(RDKafkaErrorCode::OutOfOrderSequenceNumber)] {
            assert_eq!(RecordError::of(code).when_alone(), DeliveryReport::Failed(FailureCode::Other));
        }
    }

    #[test]
    fn only_a_record_that_was_tried_alone_is_refused() {
        let policy = RecordError::of(Some(RDKafkaErrorCode::PolicyViolation));
        assert_eq!(policy.when_batched(), DeliveryReport::Failed(FailureCode::PolicyViolation));
        assert_eq!(policy.when_alone(), DeliveryReport::Rejected(FailureCode::PolicyViolation));
        let timestamp = RecordError::of(Some(RDKafkaErrorCode::InvalidTimestamp));
        assert_eq!(timestamp.when_alone(), DeliveryReport::Failed(FailureCode::InvalidTimestamp), "a clock is wrong");
        let neighbour = RecordError::of(Some(RDKafkaErrorCode::InvalidDifferentRecord));
        assert_eq!(neighbour.when_alone(), DeliveryReport::Failed(FailureCode::Other));
    }

    #[test]
    fn each_code_is_logged_once_a_minute_with_the_rest_counted() {
        let (log, start) = (FailureLog::default(), Instant::now());
        assert_eq!(log.is_due(FailureCode::TimedOut, start), Some(0));
        assert_eq!(log.is_due(FailureCode::TimedOut, start), None);
        assert_eq!(log.is_due(FailureCode::Other, start), Some(0));
        assert_eq!(log.is_due(FailureCode::TimedOut, start + LOG_INTERVAL), Some(1));
    }
}
