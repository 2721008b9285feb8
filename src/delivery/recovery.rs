//! The recovery of partitions: their events are published at once, or after the other replicas are asked.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox::machine::{Admitted, Deadlines};
use outbox::{NewEvent, RequestId};

use super::executor::{Executor, Machine, Waiter};
use super::publication::EventPublication;

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
        self.step(|outbox, _| self.partition_opened(outbox));
    }

    /// Retries what waits for partitions, or asks the other replicas first.
    pub(super) fn partition_opened(&self, outbox: &mut Machine) {
        if outbox.partition_opened() && !self.recovery.ask_replicas.get().is_some_and(|ask| ask()) {
            outbox.partitions_recovered();
        }
    }

    /// Retries events whose partitions may have recovered. Without other replicas, no event waits for a recovery.
    pub(super) fn recheck_partitions(&self) {
        if self.outbox.lock().coordinates_recoveries() {
            self.recovered();
        }
    }

    /// Admits events. `recoveries` is the value of [`Executor::recoveries`] from before their partitions were checked.
    pub(super) fn admit(
        &self,
        mut new_events: Vec<NewEvent<EventPublication>>,
        recoveries: u64,
        waiter: Waiter,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        self.step(|outbox, _| {
            if self.recoveries() != recoveries && outbox.coordinates_recoveries() {
                // Nothing would end the wait for a partition that has recovered meanwhile.
                new_events.iter_mut().for_each(|event| event.partition_unavailable = false);
            }
            outbox.admit(new_events, waiter, deadlines)
        })
    }
}
