//! The recovery of partitions: their events are published at once, or after the other replicas are asked.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::executor::{Executor, Machine};

/// Begins to ask the other replicas. Returns false if they cannot be asked.
type AskReplicas = dyn Fn() -> bool + Send + Sync;

/// The state that the recovery of partitions needs.
#[derive(Default)]
pub(super) struct Recovery {
    /// How many times partitions have recovered.
    count: AtomicU64,
    /// `None` if replicas are not coordinated.
    pub(super) ask_replicas: OnceLock<Box<AskReplicas>>,
}

impl Executor {
    /// Returns how many times partitions have recovered.
    pub(super) fn recoveries(&self) -> u64 {
        self.recovery.count.load(Ordering::SeqCst)
    }

    /// Notes that partitions accept records again.
    pub(super) fn recovered(&self) {
        self.recovery.count.fetch_add(1, Ordering::SeqCst);
        self.step(|outbox, _| self.partitions_available(outbox));
    }

    /// Retries what waits for partitions, or asks the other replicas first.
    pub(super) fn partitions_available(&self, outbox: &mut Machine) {
        if outbox.partitions_available() && !self.recovery.ask_replicas.get().is_some_and(|ask| ask()) {
            outbox.release_closed_lanes();
        }
    }

    /// Retries events whose partitions may have recovered. Without other replicas, no event waits for a recovery.
    pub(super) fn recheck_partitions(&self) {
        if self.outbox.lock().coordinates_recoveries() {
            self.recovered();
        }
    }
}
