//! What makes a producer one that has to be replaced. Told by librdkafka's threads, so nothing here waits or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// Beyond this epoch a producer is replaced. It is a 16-bit number that grows with each record that times out or is
/// refused, and wraps unchecked: the broker would then refuse every record.
pub(super) const LAST_EPOCH: i64 = 10_000;

/// Why a producer has to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaceReason {
    /// librdkafka has given it up: it takes no record any more.
    Fatal,
    /// Its epoch is close to its end; until then it works.
    Epoch,
    /// The Kafka user may publish nothing, so librdkafka has given it up.
    Denied,
    /// It has reached another cluster than before.
    Cluster,
    /// Its records only wait, although the leaders of their partitions can be reached.
    Stuck,
    /// Its settings have changed.
    Settings,
}

impl ReplaceReason {
    /// For log lines.
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

/// What the supervisor of producers receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SupervisorEvent {
    /// The producer of that number has reported an error, which can be a fatal one.
    ErrorReported(u64),
    /// The epoch of the producer of that number is close to its end.
    EpochExhausted(u64),
    /// The producer of that number has reached another cluster.
    ClusterReplaced(u64),
    /// The producer of that number is stuck.
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
    /// That of the producer of this number; `current` is the number of the one that is in use.
    pub(super) const fn new(
        number: u64,
        current: Arc<AtomicU64>,
        events: Sender<SupervisorEvent>,
        last_epoch: i64,
    ) -> Self {
        let [has_error, is_epoch_exhausted] = [AtomicBool::new(false), AtomicBool::new(false)];
        Self { number, current, events, last_epoch, has_error, is_epoch_exhausted }
    }

    /// The producer's number; each has one of its own.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is the one in use.
    pub(super) fn is_current(&self) -> bool {
        self.current.load(Ordering::Relaxed) == self.number
    }

    /// Something failed, which can mean that the producer was given up: the error that librdkafka tells does not say,
    /// only the client itself does. Asks for a look at it, once until somebody has looked.
    pub(super) fn report_error(&self) {
        self.notify(&self.has_error, SupervisorEvent::ErrorReported(self.number));
    }

    /// Called before the client is asked for a fatal error, so that a later error is sent again.
    pub(super) fn clear_error(&self) {
        self.has_error.store(false, Ordering::Relaxed);
    }

    fn epoch_exhausted(&self) {
        self.notify(&self.is_epoch_exhausted, SupervisorEvent::EpochExhausted(self.number));
    }

    fn notify(&self, is_sent: &AtomicBool, event: SupervisorEvent) {
        if !is_sent.swap(true, Ordering::Relaxed) {
            // Whoever has stopped listening is about to end this producer anyway.
            let _ = self.events.send(event);
        }
    }

    /// The producer's epoch, as its statistics tell it.
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
