//! The recovery of partitions: their events are published at once, or after the other replicas are asked.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox::machine::{Admitted, Deadlines};
use outbox::{FailureCode, NewEvent, RequestId};

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

    /// Admits events. Those whose partition is known not to accept records at the moment are marked.
    pub(super) fn admit(
        &self,
        mut new_events: Vec<NewEvent<EventPublication>>,
        waiter: Waiter,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        let recoveries = self.recoveries();
        if let Some(producer) = &*self.producer.load() {
            for NewEvent { obstacle, publication, .. } in &mut new_events {
                let mut records = publication.all_records();
                let is_closed = records.any(|record| !producer.accepts(&record.topic, record.key.as_deref()));
                *obstacle = is_closed.then_some(FailureCode::PartitionUnavailable);
            }
        }
        self.step(|outbox, _| {
            if self.recoveries() != recoveries && outbox.coordinates_recoveries() {
                // Nothing would end the wait for a partition that has recovered meanwhile.
                new_events.iter_mut().for_each(|event| event.obstacle = None);
            }
            outbox.admit(new_events, waiter, deadlines)
        })
    }

    /// Admits events that other replicas can have as well. If there are other replicas, the events wait, as if their
    /// partitions did not accept records, until [`Executor::recheck_partitions`] asks the replicas.
    pub(super) fn admit_shared(
        &self,
        mut new_events: Vec<NewEvent<EventPublication>>,
        waiter: Waiter,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        if !self.outbox.lock().coordinates_recoveries() {
            return self.admit(new_events, waiter, deadlines);
        }
        new_events.iter_mut().for_each(|event| event.obstacle = Some(FailureCode::AskingReplicas));
        self.step(|outbox, _| outbox.admit(new_events, waiter, deadlines))
    }
}
