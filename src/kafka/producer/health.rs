//! Detects when a producer has to be replaced. Called on librdkafka's threads, so nothing here waits or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// Above this epoch a producer is replaced. The epoch is a 16-bit number that grows with each record that times out or
/// is rejected, and it overflows unchecked: the broker would then reject every record.
pub(super) const LAST_EPOCH: i64 = 10_000;

/// Why a producer has to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceReason {
    /// A fatal error: librdkafka accepts no more records.
    Fatal,
    /// Its epoch is nearly exhausted. It works until then.
    Epoch,
    /// The Kafka user may not publish anything, so librdkafka has reported a fatal error.
    Denied,
    /// It has reached a different cluster than before.
    Cluster,
    /// Its records only wait, although the leaders of their partitions can be reached.
    Stuck,
    /// Its settings have changed.
    Settings,
}

impl ReplaceReason {
    /// Returns the text for log lines.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Epoch => "epoch",
            Self::Denied => "not_authorized",
            Self::Cluster => "cluster_replaced",
            Self::Stuck => "stuck",
            Self::Settings => "settings",
        }
    }
}

/// The events that the supervisor receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SupervisorEvent {
    /// The producer with that number has reported an error, which can be a fatal one.
    ErrorReported(u64),
    /// The epoch of the producer with that number is nearly exhausted.
    EpochExhausted(u64),
    /// The producer with that number has reached another cluster.
    ClusterReplaced(u64),
    /// The producer with that number is stuck.
    Stuck(u64),
    /// The producer is dropped.
    Stop,
}

/// The state of one producer.
pub(super) struct Health {
    number: u64,
    current: Arc<AtomicU64>,
    events: Sender<SupervisorEvent>,
    last_epoch: i64,
    has_error: AtomicBool,
    is_epoch_exhausted: AtomicBool,
}

impl Health {
    /// Creates the health of the producer with this number. `current` is the number of the one in use.
    pub(super) const fn new(
        number: u64,
        current: Arc<AtomicU64>,
        events: Sender<SupervisorEvent>,
        last_epoch: i64,
    ) -> Self {
        let [has_error, is_epoch_exhausted] = [AtomicBool::new(false), AtomicBool::new(false)];
        Self { number, current, events, last_epoch, has_error, is_epoch_exhausted }
    }

    /// Returns the producer's unique number.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Returns true if it is the one in use.
    pub(super) fn is_current(&self) -> bool {
        self.current.load(Ordering::Relaxed) == self.number
    }

    /// Reports an error that can mean that the producer is unusable: only the client shows whether the error is fatal.
    /// Requests one check; further errors are not sent until the check has begun.
    pub(super) fn report_error(&self) {
        self.notify(&self.has_error, SupervisorEvent::ErrorReported(self.number));
    }

    /// Must be called before the client is asked for a fatal error, so that a later error is sent again.
    pub(super) fn clear_error(&self) {
        self.has_error.store(false, Ordering::Relaxed);
    }

    fn epoch_exhausted(&self) {
        self.notify(&self.is_epoch_exhausted, SupervisorEvent::EpochExhausted(self.number));
    }

    fn notify(&self, is_sent: &AtomicBool, event: SupervisorEvent) {
        if !is_sent.swap(true, Ordering::Relaxed) {
            // If the receiver is gone, this producer is about to be closed anyway.
            let _ = self.events.send(event);
        }
    }

    /// Checks the producer's epoch, as reported in its statistics.
    pub(super) fn epoch(&self, epoch: i64) {
        if epoch > self.last_epoch {
            self.epoch_exhausted();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn each_reason_is_sent_once_and_an_error_again_once_cleared() {
        let (events, received) = channel();
        let health = Health::new(3, Arc::new(AtomicU64::new(3)), events, 2);
        for epoch in [-1, 0, 2] {
            health.epoch(epoch);
        }
        assert!(received.try_recv().is_err());
        for _ in 0..2 {
            health.epoch(3);
            health.report_error();
        }
        health.clear_error();
        health.report_error();
        assert_eq!(
            received.try_iter().collect::<Vec<_>>(),
            [SupervisorEvent::EpochExhausted(3), SupervisorEvent::ErrorReported(3), SupervisorEvent::ErrorReported(3)]
        );
    }
}
