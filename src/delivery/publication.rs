//! The publication of an event: its records, the source of its dead letter, and its application.

use std::sync::Arc;

use idaas_callback::policy::{DeadLetterRules, Policy};
use idaas_callback::record::Record;
use idaas_callback::{DeadLetterSource, Disposition, EventId, PreparedEvent, Reason};
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, NewEvent, Publication, Seq};

use crate::journal::Entry;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::spans::EventContext;

/// An application, reduced to what its events need while they are in progress.
pub struct OwningApplication {
    /// Its configured name.
    pub name: String,
    /// Its rules. `None` if it is no longer configured and only the journal has its events.
    pub policy: Option<Arc<Policy>>,
    /// The rules of another application, if it has none itself. The parts that a dead letter needs are the same for
    /// all.
    pub fallback_policy: Option<Arc<Policy>>,
    /// Its metrics.
    pub metrics: Arc<ApplicationMetrics>,
}

impl OwningApplication {
    /// Returns the application's id. Empty if the application is no longer configured, because none of its events are
    /// accepted then.
    pub(super) fn application_id(&self) -> &str {
        self.policy.as_ref().map_or("", |policy| &policy.application_id)
    }

    /// Returns the rules for the dead letter of a record.
    fn dead_letters(&self, record: &Record) -> Option<DeadLetterRules> {
        match &self.policy {
            Some(policy) => Some(policy.dead_letters()),
            None => self.fallback_policy.as_ref().map(|policy| policy.dead_letters().for_record(record)),
        }
    }
}

/// The records of one event. Has no `Debug`, because it holds personal data.
#[derive(Clone)]
pub(super) struct EventPublication {
    pub(super) key: EventKey,
    pub(super) lane: LaneKey,
    pub(super) id: EventId,
    pub(super) owner: Arc<OwningApplication>,
    pub(super) event_time: Option<i64>,
    pub(super) verdict: Verdict,
    pub(super) record: Record,
    pub(super) credential: Option<Box<Record>>,
    pub(super) dead_letter_source: DeadLetterSource,
    /// The parent of its records' spans, if the event is traced.
    pub(super) trace: Option<EventContext>,
    form: Form,
}

/// The form of the event that is being published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Event,
    Original,
    Fingerprint,
}

impl EventPublication {
    /// Creates the publication of an event. Returns `None` if the operator skips its type.
    pub(super) fn of(event: PreparedEvent, key: EventKey, owner: &Arc<OwningApplication>) -> Option<Self> {
        let PreparedEvent { id, event_time, disposition, dead_letter_source, entity: _, action: _, drift: _ } = event;
        let (verdict, record, credential) = match disposition {
            Disposition::Publish { record, credential } => (Verdict::Confirmed, record, credential),
            Disposition::DeadLetter { reason, record } => (Verdict::DeadLettered(reason), record, None),
            Disposition::Skip => return None,
        };
        Some(Self {
            key,
            // A record without a key has no order to keep, so it gets a lane of its own.
            lane: LaneKey::of(&record.topic, record.key.as_deref().unwrap_or(id.text())),
            id,
            owner: Arc::clone(owner),
            event_time,
            verdict,
            record,
            credential,
            dead_letter_source,
            trace: None,
            form: Form::Event,
        })
    }

    /// Converts the publication to a new event for the outbox.
    pub(super) fn into_new_event(self) -> NewEvent<Self> {
        let event_time = self.event_time.unwrap_or(self.record.timestamp);
        NewEvent { key: self.key, lane: self.lane, event_time, obstacle: None, publication: Arc::new(self) }
    }

    /// Restores the publication from a journal entry.
    pub(super) fn from_entry(entry: Entry, owner: Arc<OwningApplication>, trace: Option<EventContext>) -> Self {
        let Entry {
            key, lane, event_id, id_provided, event_time, verdict, record, credential, dead_letter_source, ..
        } = entry;
        let id = if id_provided { EventId::Provided(event_id) } else { EventId::Generated(event_id) };
        Self {
            key,
            lane,
            id,
            owner,
            event_time,
            verdict,
            record,
            credential: credential.map(Box::new),
            dead_letter_source,
            trace,
            form: Form::Event,
        }
    }

    /// Converts the publication to a journal entry.
    pub(super) fn to_entry(&self, seq: Seq) -> Entry {
        Entry {
            seq,
            key: self.key,
            lane: self.lane,
            event_id: self.id.text().to_owned(),
            id_provided: matches!(self.id, EventId::Provided(_)),
            application: self.owner.name.clone(),
            received_at: self.record.timestamp,
            event_time: self.event_time,
            verdict: self.verdict,
            record: self.record.clone(),
            credential: self.credential.as_deref().cloned(),
            // It can wait for a slow disk for longer than its request.
            dead_letter_source: self.dead_letter_source.detached().unwrap_or_else(|| self.dead_letter_source.clone()),
        }
    }

    /// Returns all of its records.
    pub(super) fn all_records(&self) -> impl Iterator<Item = &Record> {
        [Some(&self.record), self.credential.as_deref()].into_iter().flatten()
    }
}

impl Publication for EventPublication {
    fn records(&self) -> u8 {
        1 + u8::from(self.credential.is_some())
    }

    fn bytes(&self) -> usize {
        self.all_records().map(Record::size).sum::<usize>() + self.dead_letter_source.size()
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn detached(&self) -> Option<Self> {
        let dead_letter_source = self.dead_letter_source.detached()?;
        Some(Self { dead_letter_source, ..self.clone() })
    }

    /// Returns the dead letter that replaces it.
    fn fallback(&self) -> Option<Self> {
        let rules = self.owner.dead_letters(&self.record)?;
        let form = match self.form {
            // A dead letter can only be rejected because it is too large.
            Form::Event if matches!(self.verdict, Verdict::DeadLettered(_)) => Form::Fingerprint,
            Form::Event => Form::Original,
            Form::Original => Form::Fingerprint,
            Form::Fingerprint => return None,
        };
        // If there are several reasons, the first counts.
        let reason = match self.verdict {
            Verdict::DeadLettered(reason) => reason,
            Verdict::Confirmed | Verdict::NotSubscribed | Verdict::NotConfirmed | Verdict::Overloaded => {
                Reason::RefusedByBroker
            }
        };
        let record = self.dead_letter_source.dead_letter(reason, &rules, form == Form::Fingerprint)?;
        Some(Self {
            key: self.key,
            lane: self.lane,
            id: self.id.clone(),
            owner: Arc::clone(&self.owner),
            event_time: self.event_time,
            verdict: Verdict::DeadLettered(reason),
            record,
            credential: None,
            dead_letter_source: self.dead_letter_source.clone(),
            trace: self.trace.clone(),
            form,
        })
    }
}
