//! Publishes an event again whose final verdict is already known. Only an operator can request this.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dispatcher::{Dispatcher, OwningApplication};
use super::publication::EventPublication;
use idaas_callback::PreparedEvent;
use outbox::EventKey;
use outbox::machine::Admitted;
use outbox::verdict::Verdict;

/// The result of publishing an event again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Republished {
    /// Its verdict.
    pub verdict: Verdict,
    /// True if the verdict is that of an earlier request with the same attempt name.
    pub known: bool,
}

impl Dispatcher {
    /// Publishes an event again, and waits for its verdict, at most until `deadline`. Returns
    /// [`Verdict::NotSubscribed`] and publishes nothing if the event does not become a record of its own.
    ///
    /// The dedup cache and the topics know the event by its id, so they would answer with its first verdict, and the
    /// next start would consider the journal entry published. So this event gets another key, derived from its id and
    /// the name of the attempt. The key lasts through journal and restart, and repeating the request joins the first
    /// one. The record has the event's original id.
    pub async fn republish(
        &self,
        event: PreparedEvent,
        attempt: &str,
        owner: &Arc<OwningApplication>,
        deadline: tokio::time::Instant,
    ) -> Republished {
        let key = EventKey::of(owner.application_id(), &format!("republish {attempt}"));
        let publication = EventPublication::of(event, key, owner);
        let Some(publication) = publication.filter(|publication| publication.verdict == Verdict::Confirmed) else {
            return Republished { verdict: Verdict::NotSubscribed, known: false };
        };
        let (reply, waiting) = oneshot::channel();
        let new_events = vec![publication.into_new_event()];
        let (_, admitted) = self.executor.admit(new_events, reply, self.deadlines(deadline));
        let verdicts = waiting.await.unwrap_or_default();
        let known = matches!(admitted.first(), Some(Admitted::Known(verdict)) if verdict.is_final());
        // Without an answer, nothing is promised.
        Republished { verdict: verdicts.first().copied().unwrap_or(Verdict::Overloaded), known }
    }
}
