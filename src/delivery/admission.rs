//! Admission: events enter the outbox.

use outbox::machine::{Admitted, Deadlines};
use outbox::{FailureCode, NewEvent, RequestId};

use super::executor::{Executor, VerdictReply};
use super::publication::EventPublication;

impl Executor {
    /// Admits events. Those whose partition is known not to accept records at the moment are marked.
    pub(super) fn admit(
        &self,
        mut new_events: Vec<NewEvent<EventPublication>>,
        reply: VerdictReply,
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
            outbox.admit(new_events, reply, deadlines)
        })
    }

    /// Admits events that other replicas can have as well. If there are other replicas, the events wait, as if their
    /// partitions did not accept records, until [`Executor::recheck_partitions`] asks the replicas.
    pub(super) fn admit_shared(
        &self,
        mut new_events: Vec<NewEvent<EventPublication>>,
        reply: VerdictReply,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        if !self.outbox.lock().coordinates_recoveries() {
            return self.admit(new_events, reply, deadlines);
        }
        new_events.iter_mut().for_each(|event| event.obstacle = Some(FailureCode::AskingReplicas));
        self.step(|outbox, _| outbox.admit(new_events, reply, deadlines))
    }
}
