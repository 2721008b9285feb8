//! The events of one callback, each id once: what goes to the outbox, and the answer that the verdicts add up to.

use std::collections::HashSet;
use std::sync::Arc;

use idaas_callback::{EventId, PreparedEvent, Refusal};
use outbox::machine::Admitted;
use outbox::verdict::Verdict;
use outbox::{EventKey, Hashed, NewEvent};

use super::publication::{EventPublication, OwningApplication};
use crate::telemetry::spans::{CallbackTrace, EventSpan};

/// One event and its verdict, for the answer.
pub struct EventVerdict {
    /// The `eventId`.
    pub event_id: String,
    /// The verdict that is answered.
    pub verdict: Verdict,
}

pub(super) struct CallbackEvents {
    pub(super) new_events: Vec<NewEvent<EventPublication>>,
    /// The id of each new event.
    ids: Vec<EventId>,
    /// The ids of events that are answered without the broker.
    skipped: Vec<EventId>,
    /// The span of each new event. Empty if the callback is not traced.
    spans: Vec<EventSpan>,
}

impl CallbackEvents {
    /// Prepares a callback's events. Starts a span for each new event, if the callback is traced.
    pub(super) fn of(events: Vec<PreparedEvent>, owner: &Arc<OwningApplication>, trace: &CallbackTrace) -> Self {
        let size = events.len();
        let mut prepared = Self {
            new_events: Vec::with_capacity(size),
            ids: Vec::with_capacity(size),
            skipped: Vec::new(),
            spans: Vec::new(),
        };
        let mut known_keys: HashSet<EventKey, Hashed> = HashSet::with_capacity_and_hasher(size, Hashed::default());
        for event in events {
            let key = EventKey::of(owner.application_id(), event.id.text());
            // An id that occurs twice in the callback has one verdict.
            if !known_keys.insert(key) {
                continue;
            }
            if let EventId::Provided(_) = event.id {
                owner.metrics.received(event.entity, event.action);
            }
            owner.metrics.drifted(event.entity, event.drift);
            let id = event.id.clone();
            match EventPublication::of(event, key, owner) {
                Some(mut publication) => {
                    if let Some(span) = trace.event(key, id.text(), publication.record.entity) {
                        publication.trace = Some(span.context());
                        prepared.spans.push(span);
                    }
                    prepared.new_events.push(publication.into_new_event());
                    prepared.ids.push(id);
                }
                None => prepared.skipped.push(id),
            }
        }
        prepared
    }

    /// Counts the results of the admission.
    pub(super) fn record_admissions(&mut self, admitted: &[Admitted], owner: &OwningApplication) {
        self.spans.iter_mut().zip(admitted).for_each(|(span, what)| span.admitted(*what));
        for what in admitted {
            match what {
                Admitted::Joined => owner.metrics.duplicates.inc(),
                Admitted::Known(verdict) if verdict.is_final() => owner.metrics.duplicates.inc(),
                Admitted::New | Admitted::Known(_) => {}
            }
        }
    }

    /// Builds the answer. A missing verdict counts as not confirmed.
    pub(super) fn answer(self, verdicts: &[Verdict], owner: &OwningApplication) -> Result<Vec<EventVerdict>, Refusal> {
        let skipped = self.skipped.into_iter().map(|(EventId::Provided(event_id) | EventId::Generated(event_id))| {
            EventVerdict { event_id, verdict: Verdict::NotSubscribed }
        });
        let mut answered: Vec<_> = skipped.collect();
        for (position, span) in self.spans.into_iter().enumerate() {
            span.answered(verdicts.get(position).copied().unwrap_or(Verdict::NotConfirmed));
        }
        // The answer cannot list an event without an id. If it is neither confirmed nor durable, IDaaS has to send the
        // whole callback again.
        let mut overloaded = false;
        for (position, id) in self.ids.into_iter().enumerate() {
            let verdict = verdicts.get(position).copied().unwrap_or(Verdict::NotConfirmed);
            match (id, verdict) {
                (EventId::Provided(event_id), verdict) => answered.push(EventVerdict { event_id, verdict }),
                (EventId::Generated(_), Verdict::Overloaded) => overloaded = true,
                // It is on the broker, or in the journal.
                (
                    EventId::Generated(_),
                    Verdict::Confirmed | Verdict::DeadLettered(_) | Verdict::NotSubscribed | Verdict::NotConfirmed,
                ) => {}
            }
        }
        for event in &answered {
            // The whole callback is refused, so IDaaS sends each of its events again.
            owner.metrics.answered(if overloaded { Verdict::Overloaded } else { event.verdict });
        }
        if overloaded { Err(Refusal::Overloaded) } else { Ok(answered) }
    }
}
