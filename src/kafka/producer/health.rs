//! Detects when a producer has to be replaced. Called on librdkafka's threads, so nothing here waits or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// Above this epoch a producer is replaced. The epoch is a 16-bit number that grows with each record that times out or
/// is rejected, and it overflows unchecked: the broker would then reject every record.
pub(super) const LAST_EPOCH: i64 = 10_000;

/// The reason why a producer must be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceReason {
    /// A fatal error: librdkafka accepts no more records.
    Fatal,
    /// Its epoch is nearly exhausted. It still works.
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
    /// Returns the code for log lines.
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
    /// The producer with this number has reported an error, which can be fatal.
    ErrorReported(u64),
    /// The epoch of the producer with this number is nearly exhausted.
    EpochExhausted(u64),
    /// The producer with this number has reached a different cluster.
    ClusterReplaced(u64),
    /// The producer with this number is stuck.
    Stuck(u64),
    /// The producer has been dropped.
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

    /// Requests a check for a fatal error. Only the client shows whether an error is fatal. Further errors request no
    /// other check until this one has begun.
    pub(super) fn report_error(&self) {
        self.notify(&self.has_error, SupervisorEvent::ErrorReported(self.number));
    }

    /// Allows the next error to request a check. Must be called before the client is asked for a fatal error.
    pub(super) fn clear_error(&self) {
        self.has_error.store(false, Ordering::Relaxed);
    }

    fn epoch_exhausted(&self) {
        self.notify(&self.is_epoch_exhausted, SupervisorEvent::EpochExhausted(self.number));
    }

    fn notify(&self, is_sent: &AtomicBool, event: SupervisorEvent) {
        if !is_sent.swap(true, Ordering::Relaxed) {
            // Fails only if the supervisor has ended, which also means shutdown.
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
