//! Dead letters: an authentic event that fits no record is still published, with the reason and the original.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Common, DeadLetterSource, RecordBuilder, RequestContext};
use crate::event::Event;
use crate::event_type::{Action, Entity};
use crate::jose::jwe::ContentKey;
use crate::json::{self, Element, Members, Raw};
use crate::policy::DeadLetterRules;
use crate::record::{Record, build};
use crate::redact::redacted;
use crate::timestamp::rfc3339;
use crate::value::{Body, Original, SCHEMA_VERSION, Value};

/// The reason why an event fits no record. The first that applies is used. [`Reason::code`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The event is not an object, or has no type.
    MalformedEvent,
    /// The event has no `eventId`, so IDaaS cannot be answered about it.
    MissingEventId,
    /// The type is known, but `bizData` is not a JSON object.
    MalformedData,
    /// The id of the event's entity is missing.
    MissingEntityId,
    /// The record is larger than the producer accepts.
    RecordTooLarge,
    /// The broker permanently rejects the record.
    RefusedByBroker,
}

impl Reason {
    /// Every reason, in the order in which they are checked.
    pub const ALL: [Self; 6] = [
        Self::MalformedEvent,
        Self::MissingEventId,
        Self::MalformedData,
        Self::MissingEntityId,
        Self::RecordTooLarge,
        Self::RefusedByBroker,
    ];

    /// Returns the stable code: the record's `reason`, the answer's `eventCode`, and the metric's label.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

impl DeadLetterSource {
    /// Creates the dead letter of an event whose record the broker rejected. Set `fingerprint_only` on the second
    /// attempt, in case the original makes the dead letter too large.
    #[must_use]
    pub fn dead_letter(&self, reason: Reason, rules: &DeadLetterRules, fingerprint_only: bool) -> Option<Record> {
        let raw = self.event();
        let event = Event::of(Element::of(raw));
        let received_at = rfc3339(self.received_at).unwrap_or_default();
        let common = Common {
            request: RequestContext { received_at: self.received_at, traceparent: None },
            context: &self.context,
            received_at: &received_at,
            mode: rules.mode(),
        };
        let (event, original) = if fingerprint_only {
            (event.shortened(), fingerprint(raw))
        } else {
            let original = original(&event, raw, rules.journal_key());
            (event, original)
        };
        let id = event.id.as_deref().or(self.generated_id())?;
        Some(common.dead_letter(rules.topic(), reason, &event, original, id))
    }
}

impl RecordBuilder<'_> {
    /// Creates the dead letter of an event, small enough to be published.
    pub(super) fn dead_letter(
        &self,
        reason: Reason,
        event: &Event<'_>,
        raw: Raw<'_>,
        dead_letter_source: &DeadLetterSource,
        id: &str,
    ) -> Record {
        let fits = |record: &Record| record.size() <= self.policy.max_record_bytes;
        if reason != Reason::RecordTooLarge {
            let record = self.dead_letter_with(reason, event, original(event, raw, self.journal_key()), id);
            if fits(&record) {
                return record;
            }
        }
        let record = self.dead_letter_with(reason, event, fingerprint(raw), id);
        if fits(&record) {
            return record;
        }
        let event = event.shortened();
        let id = event.id.as_deref().or(dead_letter_source.generated_id()).unwrap_or(id);
        self.dead_letter_with(reason, &event, fingerprint(raw), id)
    }

    fn dead_letter_with(&self, reason: Reason, event: &Event<'_>, original: Original<'_>, id: &str) -> Record {
        self.common.dead_letter(self.policy.topics.of(Entity::DeadLetter), reason, event, original, id)
    }

    fn journal_key(&self) -> Option<&ContentKey> {
        self.policy.journal_keys.first().map(|key| &**key)
    }
}

impl Common<'_> {
    fn dead_letter(
        &self,
        topic: &Arc<str>,
        reason: Reason,
        event: &Event<'_>,
        original: Original<'_>,
        id: &str,
    ) -> Record {
        let value = Value {
            schema_version: SCHEMA_VERSION,
            action: Action::Refused.name(),
            body: Body::DeadLetter { reason: reason.code(), original },
            additional: crate::field::Additional::default(),
            origin: self.origin(event),
        };
        let key = event.id.as_deref().or(event.biz_id.as_deref());
        build(&self.attributes(event, id, (Entity::DeadLetter, Action::Refused), (key, None)), &value, topic, self.mode)
    }
}

/// Returns the original without passwords. If the event or its data is not an object, passwords in it cannot be found
/// by name, so it is encrypted.
fn original<'a>(event: &Event<'_>, raw: Raw<'a>, key: Option<&ContentKey>) -> Original<'a> {
    let searchable = raw.get().starts_with('{')
        && event.data.is_none_or(|data| json::is_null(data) || Members::parse(&json::unwrapped(data)).is_some());
    match key {
        _ if searchable => Original::Clear(redacted(raw)),
        Some(key) => Original::Sealed(key.seal_named(raw.get().as_bytes())),
        None => fingerprint(raw),
    }
}

fn fingerprint(raw: Raw<'_>) -> Original<'static> {
    let shown = redacted(raw);
    let sha256 = Sha256::digest(shown.get()).iter().map(|byte| format!("{byte:02x}")).collect();
    Original::Fingerprint { size: shown.get().len(), sha256 }
}
