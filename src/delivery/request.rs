//! Requests of callbacks: their events are handed over together, and answered together by a deadline.

use std::sync::Arc;

use idaas_callback::{PreparedEvent, Refusal};
use outbox::machine::{Admitted, Deadlines};
use outbox::verdict::Verdict;
use outbox::{Millis, NewEvent, RequestId};
use tokio::sync::oneshot;

use super::callback_events::CallbackEvents;
pub use super::callback_events::EventVerdict;
use super::dispatcher::Dispatcher;
use super::executor::{Executor, VerdictReply};
use super::publication::{EventPublication, OwningApplication};
use crate::telemetry::spans::CallbackTrace;

/// How long before its answer the unconfirmed events of a request are written, so that the write completes in time.
pub(super) const WRITE_ALLOWANCE: Millis = 1000;

impl Dispatcher {
    /// Publishes a callback's events and waits for their verdicts, at most until `deadline`.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if an event without an id was neither confirmed nor persisted. The answer cannot list
    /// such an event, so IDaaS has to send the whole callback again.
    pub async fn deliver(
        &self,
        events: Vec<PreparedEvent>,
        owner: &Arc<OwningApplication>,
        deadline: tokio::time::Instant,
        trace: &CallbackTrace,
    ) -> Result<Vec<EventVerdict>, Refusal> {
        self.wait_for_verdicts(CallbackEvents::of(events, owner, trace), owner, deadline, Executor::admit).await
    }

    /// As [`Dispatcher::deliver`], for events from quarantine: IDaaS sends a callback several times, so other replicas
    /// usually have quarantined the same events. If there are other replicas, the events wait in the journal for
    /// [`Dispatcher::publish_quarantined`].
    ///
    /// # Errors
    /// See [`Dispatcher::deliver`].
    pub async fn deliver_quarantined(
        &self,
        events: Vec<PreparedEvent>,
        owner: &Arc<OwningApplication>,
        deadline: tokio::time::Instant,
    ) -> Result<Vec<EventVerdict>, Refusal> {
        let events = CallbackEvents::of(events, owner, &CallbackTrace::default());
        self.wait_for_verdicts(events, owner, deadline, Executor::admit_shared).await
    }

    /// Publishes the events from quarantine that wait, once the other replicas are asked. To be called after the last
    /// of several callbacks, because an exchange with the replicas takes seconds.
    pub fn publish_quarantined(&self) {
        self.executor.recheck_partitions();
    }

    async fn wait_for_verdicts(
        &self,
        mut events: CallbackEvents,
        owner: &Arc<OwningApplication>,
        deadline: tokio::time::Instant,
        admit: impl FnOnce(
            &Executor,
            Vec<NewEvent<EventPublication>>,
            VerdictReply,
            Deadlines,
        ) -> (RequestId, Vec<Admitted>),
    ) -> Result<Vec<EventVerdict>, Refusal> {
        let (reply, waiting) = oneshot::channel();
        let new_events = std::mem::take(&mut events.new_events);
        // All events are handed over before the first wait, so a sender that disconnects stops nothing half-way.
        let (request_id, admitted) = admit(&self.executor, new_events, reply, self.deadlines(deadline));
        events.record_admissions(&admitted, owner);
        let mut request = CancelOnDrop { executor: &self.executor, request_id, events: Some(events), owner };
        // The outbox answers each request by its deadline. If it has ended, it has accepted nothing.
        let verdicts = waiting.await.unwrap_or_else(|_| vec![Verdict::Overloaded; admitted.len()]);
        // Only its drop takes the events as well.
        let Some(events) = request.events.take() else { return Err(Refusal::Overloaded) };
        events.answer(&verdicts, owner)
    }

    pub(super) fn deadlines(&self, deadline: tokio::time::Instant) -> Deadlines {
        let now = self.executor.now();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now()).as_millis();
        let left = Millis::try_from(left).unwrap_or(Millis::MAX);
        Deadlines { write: now + left - WRITE_ALLOWANCE.min(left / 2), answer: now + left }
    }
}

/// A request that waits for its verdicts. If it is dropped early, because the sender has reset the connection, the
/// outbox forgets it and its events are counted as answered without confirmation. So the numbers of received and of
/// answered events stay equal.
struct CancelOnDrop<'a> {
    executor: &'a Executor,
    request_id: RequestId,
    events: Option<CallbackEvents>,
    owner: &'a OwningApplication,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            self.executor.outbox.lock().cancel(self.request_id);
            // Only for the counts: the sender has disconnected.
            let _ = events.answer(&[], self.owner);
        }
    }
}
