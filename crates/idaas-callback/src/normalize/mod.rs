//! From the events of a callback to what is to be done with each: a record, a skip, or a dead letter.
//!
//! Total: every event becomes exactly one item, whatever it looks like, and none can harm its neighbours.

mod common;
mod dead_letter;
mod dead_letter_source;
mod event_id;
mod group;
mod members;
mod organizational_unit;
mod user;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::decode::{Callback, Context, Events};
use super::event::{DATA, Event, MAX_ID_LENGTH};
use super::event_type::{Action, Entity, classify};
use super::field::Drift;
use super::json::{self, Members, Raw};
use super::policy::{Passwords, Policy};
use super::record::{CREDENTIAL_SUFFIX, Record};
use super::redact::redacted;
use super::timestamp::rfc3339;
use super::value::{Body, Origin, SCHEMA_VERSION, Value};
use crate::refusal::Refusal;

use common::Common;
pub use dead_letter::Reason;
pub use dead_letter_source::{DeadLetterSource, StoredOriginal};
pub use event_id::EventId;

/// What `prepare` is told about the moment and the request.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    /// The time of acceptance, in milliseconds since 1970.
    pub received_at: i64,
    /// The W3C trace context that the callback carried.
    pub traceparent: Option<&'a str>,
}

/// One event, and what is to be done with it.
pub struct PreparedEvent {
    /// Its id, which is the record's `ce_id`.
    pub id: EventId,
    /// What it is about; a dead letter is [`Entity::DeadLetter`].
    pub entity: Entity,
    /// What happened; of a dead letter [`Action::Refused`].
    pub action: Action,
    /// `eventTime` in milliseconds since 1970, where it is a time.
    pub event_time: Option<i64>,
    /// How far the event was from what is documented.
    pub drift: Drift,
    /// What is to be done.
    pub disposition: Disposition,
    /// What a dead letter would be made of, should the broker refuse the record.
    pub dead_letter_source: DeadLetterSource,
}

/// What is to be done with an event.
pub enum Disposition {
    /// To be published; a credential as well, where passwords are sealed and one came.
    Publish {
        /// The event's record.
        record: Record,
        /// The sealed password's record.
        credential: Option<Record>,
    },
    /// Not wanted by the operator.
    Skip,
    /// To be published as a dead letter.
    DeadLetter {
        /// Why.
        reason: Reason,
        /// The dead letter's record.
        record: Record,
    },
}

/// How many bytes an event takes at least. With the five members that IDaaS always sends, and ids of one character where
/// real ones have thirty, it takes 112.
const MIN_EVENT_BYTES: usize = 64;

/// As many elements a list may have whatever its size: so few harm nothing, and each is told what is wrong with it.
const MAX_UNCHECKED_EVENTS: usize = 1000;

/// How many elements so many bytes can hold that are events.
const fn max_events(length: usize) -> usize {
    let most = length / MIN_EVENT_BYTES;
    if most < MAX_UNCHECKED_EVENTS { MAX_UNCHECKED_EVENTS } else { most }
}

/// Makes an item of each event, in their order.
///
/// # Errors
/// [`Refusal::Unreadable`] where there is no list of events. A list of so many elements that they cannot be events is
/// none: an item takes a thousand times the room of a `0`, so a few megabytes of them would take all of the memory.
pub fn normalize(
    callback: &Callback,
    policy: &Policy,
    moment: RequestContext<'_>,
) -> Result<Vec<PreparedEvent>, Refusal> {
    normalize_with(&callback.context, &callback.events, policy, moment, classify)
}

/// As [`normalize`], with event types that are not IDaaS'.
pub(super) fn normalize_with(
    context: &Arc<Context>,
    events: &Arc<Events>,
    policy: &Policy,
    moment: RequestContext<'_>,
    classify: fn(&str) -> (Entity, Action),
) -> Result<Vec<PreparedEvent>, Refusal> {
    let text = events.text();
    let received_at = rfc3339(moment.received_at).unwrap_or_default();
    let common = Common { moment, context, received_at: &received_at, mode: policy.mode };
    let maker = RecordBuilder { policy, common, events, classify };
    let mut positions = 0..;
    let item = |event| {
        let position = positions.next().unwrap_or_default();
        let evidence = DeadLetterSource::new(Arc::clone(context), Arc::clone(events), position, moment.received_at);
        maker.prepare_event(Event::of(event), evidence)
    };
    json::map_elements(text, max_events, Some(DATA), item).ok_or(Refusal::Unreadable)
}

/// What the making of every record of a callback needs.
struct RecordBuilder<'a> {
    policy: &'a Policy,
    common: Common<'a>,
    events: &'a Events,
    classify: fn(&str) -> (Entity, Action),
}

/// A record's parts, before it is built.
struct Draft<'a> {
    action: Action,
    key: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    value: Body<'a>,
}

impl RecordBuilder<'_> {
    fn prepare_event(&self, mut event: Event<'_>, mut evidence: DeadLetterSource) -> PreparedEvent {
        let event_time = event.time.as_ref().map(|time| time.milliseconds);
        if event.id.as_ref().is_none_or(|id| id.len() > MAX_ID_LENGTH) {
            evidence.generate_id();
        }
        let id = match event.id.as_deref() {
            Some(id) => EventId::Provided(id.to_owned()),
            None => EventId::Generated(evidence.generated_id().unwrap_or_default().to_owned()),
        };
        let mut drift = Drift::default();
        let (entity, action, plan) = match self.disposition(&mut event, &mut drift) {
            Ok(planned) => planned,
            Err(reason) => {
                let record = self.dead_letter(reason, &event, &evidence, id.text());
                (Entity::DeadLetter, Action::Refused, Disposition::DeadLetter { reason, record })
            }
        };
        PreparedEvent { id, entity, action, event_time, drift, disposition: plan, dead_letter_source: evidence }
    }

    /// What is to be done with an event that has an id and a type, or the first reason why it fits no record.
    fn disposition(&self, event: &mut Event<'_>, drift: &mut Drift) -> Result<(Entity, Action, Disposition), Reason> {
        let kind = event.kind.as_deref().ok_or(Reason::MalformedEvent)?;
        let id = event.id.as_deref().ok_or(Reason::MissingEventId)?;
        let (entity, action) = (self.classify)(kind);
        if self.policy.skip.contains(kind) {
            return Ok((entity, action, Disposition::Skip));
        }
        let biz_id = event.biz_id.as_deref();
        let data = event.data_text.take();
        let fields = || data.as_deref().and_then(Members::parse).ok_or(Reason::MalformedData);
        let mut password = None;
        let mut additional = std::mem::take(&mut event.additional);
        let draft = match entity {
            Entity::User => {
                let mut reading = user::read(fields()?);
                if reading.user.id.is_empty() {
                    reading.user.id = Cow::Borrowed(biz_id.ok_or(Reason::MissingEntityId)?);
                }
                password = reading.password;
                merge(&mut additional, reading.additional);
                Draft::about(action, reading.user.id.clone(), Body::User(Box::new(reading.user)))
            }
            Entity::OrganizationalUnit => {
                let (unit, rest) = organizational_unit::read(fields()?, action);
                merge(&mut additional, rest);
                let id = present(&unit.id)?;
                Draft::about(action, id, Body::OrganizationalUnit(Box::new(unit)))
            }
            Entity::Group => {
                let (group, rest) = group::read(fields()?);
                merge(&mut additional, rest);
                let id = present(&group.id)?;
                Draft::about(action, id, Body::Group(Box::new(group)))
            }
            Entity::Connectivity => Draft::of(action, id, Body::Data(decoded(event.data))),
            Entity::Unclassified | Entity::DeadLetter | Entity::Credential => {
                Draft::of(action, biz_id.unwrap_or(id), Body::Data(decoded(event.data)))
            }
        };
        *drift = additional.drift;
        let credential = self.credential(event, &draft, password.as_deref());
        let value = Value {
            schema_version: SCHEMA_VERSION,
            action: action.name(),
            body: draft.value,
            additional,
            origin: self.origin(event),
        };
        let record = self.build(event, id, (entity, action), (draft.key.as_deref(), draft.subject.as_deref()), &value);
        if record.size() > self.policy.max_record_bytes {
            return Err(Reason::RecordTooLarge);
        }
        Ok((entity, action, Disposition::Publish { record, credential }))
    }

    /// The sealed password of a create or a password change, where the operator wants it.
    fn credential(&self, event: &Event<'_>, draft: &Draft<'_>, password: Option<&str>) -> Option<Record> {
        let (Passwords::Seal(key), Some(password)) = (&self.policy.passwords, password) else { return None };
        if !matches!(draft.action, Action::Created | Action::PasswordChanged) {
            return None;
        }
        let user_id = draft.key.as_deref()?;
        let value = Value {
            schema_version: SCHEMA_VERSION,
            action: draft.action.name(),
            body: Body::Credential { user_id, password: &key.seal_named(password.as_bytes()) },
            additional: super::field::Additional::default(),
            origin: self.origin(event),
        };
        let about = (Entity::Credential, draft.action);
        let id = [event.id.as_deref()?, CREDENTIAL_SUFFIX].concat();
        Some(self.build(event, &id, about, (Some(user_id), Some(user_id)), &value))
    }

    fn build(
        &self,
        event: &Event<'_>,
        id: &str,
        about: (Entity, Action),
        keys: (Option<&str>, Option<&str>),
        value: &Value<'_>,
    ) -> Record {
        self.common.build(self.policy.topics.of(about.0), event, id, about, keys, value)
    }

    fn origin<'e>(&'e self, event: &'e Event<'_>) -> Origin<'e> {
        self.common.origin(event)
    }
}

impl<'a> Draft<'a> {
    /// A record about an entity, in whose order it stands.
    fn about(action: Action, id: Cow<'a, str>, value: Body<'a>) -> Self {
        Self { action, key: Some(id.clone()), subject: Some(id), value }
    }

    /// A record about nothing that has an order.
    fn of(action: Action, key: &'a str, value: Body<'a>) -> Self {
        Self { action, key: Some(Cow::Borrowed(key)), subject: None, value }
    }
}

fn merge<'a>(event: &mut super::field::Additional<'a>, mut data: super::field::Additional<'a>) {
    std::mem::swap(event, &mut data);
    event.merge(data);
}

fn present<'a>(id: &Cow<'a, str>) -> Result<Cow<'a, str>, Reason> {
    if id.is_empty() { Err(Reason::MissingEntityId) } else { Ok(id.clone()) }
}

/// The data as JSON: what came as JSON text is decoded, everything else stays as sent.
fn decoded(data: Option<Raw<'_>>) -> Option<Cow<'_, RawValue>> {
    let data = data?;
    let inner = json::text(data).and_then(|text| RawValue::from_string(text.into_owned()).ok());
    Some(match inner {
        Some(inner) => Cow::Owned(redacted(Raw::from(&*inner)).into_owned()),
        None => redacted(data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_events_that_idaas_can_send_are_never_too_many() {
        // Ids of one character: real ones have thirty.
        let event = r#"{"eventId":"e","eventTime":"1","bizId":"u","bizData":"{}","eventType":"urn:alibaba:idaas:app:event:ud:user:lock"}"#;
        for count in [1, 1000, 100_000] {
            let length = 2 + count * (event.len() + 1) - 1;
            assert!(count <= max_events(length), "{count}");
        }
    }
}
