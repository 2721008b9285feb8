//! Converts each event of a callback to a record, a skip or a dead letter.
//!
//! Every event becomes exactly one [`PreparedEvent`], whatever its content, and cannot affect other events.

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

use super::decode::Callback;
use super::event::{DATA, Event, MAX_ID_LENGTH};
use super::event_type::{Action, Entity};
use super::field::Drift;
use super::json::{self, Element, Members, Raw};
use super::policy::{Passwords, Policy};
use super::record::{CREDENTIAL_SUFFIX, Record, build};
use super::redact::redacted;
use super::timestamp::rfc3339;
use super::value::{Body, SCHEMA_VERSION, Value};
use crate::refusal::Refusal;

use common::Common;
pub use dead_letter::Reason;
pub use dead_letter_source::{DeadLetterSource, StoredOriginal};
pub use event_id::EventId;

/// The request, as far as `prepare` needs it: its time and its trace.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    /// Time of receipt, in milliseconds since 1970.
    pub received_at: i64,
    /// The callback's W3C trace context.
    pub traceparent: Option<&'a str>,
}

/// An event, and how it is handled.
pub struct PreparedEvent {
    /// The event's id, which is the record's `ce_id`.
    pub id: EventId,
    /// The event's entity, or [`Entity::DeadLetter`].
    pub entity: Entity,
    /// The event's action, or [`Action::Refused`] for a dead letter.
    pub action: Action,
    /// `eventTime` in milliseconds since 1970, if it is a valid time.
    pub event_time: Option<i64>,
    /// The event's deviations from the documentation.
    pub drift: Drift,
    /// What happens to the event.
    pub disposition: Disposition,
    /// The original, from which a dead letter is created if the broker rejects the record.
    pub dead_letter_source: DeadLetterSource,
}

/// What happens to an event.
pub enum Disposition {
    /// Publish the record, and the credential if passwords are encrypted and the event has one.
    Publish {
        /// The event's record.
        record: Record,
        /// The encrypted password's record.
        credential: Option<Box<Record>>,
    },
    /// Do not publish: the operator excluded the event type.
    Skip,
    /// Publish a dead letter.
    DeadLetter {
        /// The reason why the event fits no record.
        reason: Reason,
        /// The dead letter's record.
        record: Record,
    },
}

/// A lower bound for the size of an event, in bytes. The smallest event that IDaaS can send has 112 bytes: its five
/// members, with one-character ids where real ones have thirty characters.
const MIN_EVENT_BYTES: usize = 64;

/// Lists of up to this length are never rejected for their density. So few elements are harmless, and each is
/// reported with its own error.
const MAX_UNCHECKED_EVENTS: usize = 1000;

/// Returns the maximum number of events that this many bytes can contain.
const fn max_events(length: usize) -> usize {
    let most = length / MIN_EVENT_BYTES;
    if most < MAX_UNCHECKED_EVENTS { MAX_UNCHECKED_EVENTS } else { most }
}

/// Prepares each event, in their order.
///
/// # Errors
/// [`Refusal::Unreadable`] if there is no list of events, or if it has more elements than its size allows for events. A
/// prepared event takes a thousand times the memory of a `0`, so a few megabytes of zeros would exhaust the memory.
pub fn normalize(
    callback: &Callback,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Result<Vec<PreparedEvent>, Refusal> {
    let Callback { context, events, classify, key: _ } = callback;
    let received_at = rfc3339(request.received_at).unwrap_or_default();
    let common = Common { request, context, received_at: &received_at, mode: policy.mode };
    let builder = RecordBuilder { policy, common, classify: *classify };
    let mut position = 0;
    let prepare_event = |element: Element<'_>| {
        let raw = element.raw;
        let mut event = Event::of(element);
        let needs_id = event.id.as_ref().is_none_or(|id| id.len() > MAX_ID_LENGTH);
        let generated_id = needs_id.then(|| event_id::generate(context, raw, position));
        position += 1;
        let dead_letter_source =
            DeadLetterSource::new(Arc::clone(context), events, raw, request.received_at, generated_id);
        let id = match event.id.as_deref() {
            Some(id) => EventId::Provided(id.to_owned()),
            None => EventId::Generated(dead_letter_source.generated_id().unwrap_or_default().to_owned()),
        };
        let event_time = event.time.as_ref().map(|time| time.milliseconds);
        let mut drift = Drift::default();
        let (entity, action, disposition) = match builder.build_records(&mut event, &mut drift) {
            Ok(event) => event,
            Err(reason) => {
                let record = builder.dead_letter(reason, &event, raw, &dead_letter_source, id.text());
                (Entity::DeadLetter, Action::Refused, Disposition::DeadLetter { reason, record })
            }
        };
        PreparedEvent { id, entity, action, event_time, drift, disposition, dead_letter_source }
    };
    json::map_elements(events, max_events, Some(DATA), prepare_event).ok_or(Refusal::Unreadable)
}

/// Builds the records of a callback's events.
struct RecordBuilder<'a> {
    policy: &'a Policy,
    common: Common<'a>,
    classify: fn(&str) -> (Entity, Action),
}

impl RecordBuilder<'_> {
    /// Builds the records of an event, or returns the first reason why it fits no record.
    fn build_records(&self, event: &mut Event<'_>, drift: &mut Drift) -> Result<(Entity, Action, Disposition), Reason> {
        let event_type = event.event_type.as_deref().ok_or(Reason::MalformedEvent)?;
        let id = event.id.as_deref().ok_or(Reason::MissingEventId)?;
        let (entity, action) = (self.classify)(event_type);
        if self.policy.skip.contains(event_type) {
            return Ok((entity, action, Disposition::Skip));
        }
        let biz_id = event.biz_id.as_deref();
        let data = event.data_text.take();
        let fields = || data.as_deref().and_then(Members::parse).ok_or(Reason::MalformedData);
        let mut password = None;
        let mut additional = std::mem::take(&mut event.additional);
        // The record key, true if it is an entity's id and therefore also the subject, and the content.
        let (key, has_subject, body) = match entity {
            Entity::User => {
                let mut user = user::read(fields()?);
                if user.user.id.is_empty() {
                    user.user.id = Cow::Borrowed(biz_id.ok_or(Reason::MissingEntityId)?);
                }
                password = user.password;
                prepend(&mut additional, user.additional);
                (user.user.id.clone(), true, Body::User(Box::new(user.user)))
            }
            Entity::OrganizationalUnit => {
                let (unit, rest) = organizational_unit::read(fields()?, action);
                prepend(&mut additional, rest);
                let id = require_id(&unit.id)?;
                (id, true, Body::OrganizationalUnit(Box::new(unit)))
            }
            Entity::Group => {
                let (group, rest) = group::read(fields()?);
                prepend(&mut additional, rest);
                let id = require_id(&group.id)?;
                (id, true, Body::Group(Box::new(group)))
            }
            Entity::Connectivity => (Cow::Borrowed(id), false, Body::Data(decode_data(event.data))),
            Entity::Unclassified | Entity::DeadLetter | Entity::Credential => {
                (Cow::Borrowed(biz_id.unwrap_or(id)), false, Body::Data(decode_data(event.data)))
            }
        };
        *drift = additional.drift;
        let credential = self.credential(event, action, &key, password.as_deref()).map(Box::new);
        let value = Value {
            schema_version: SCHEMA_VERSION,
            action: action.name(),
            body,
            additional,
            origin: self.common.origin(event),
        };
        let keys = (Some(&*key), has_subject.then_some(&*key));
        let attributes = self.common.attributes(event, id, (entity, action), keys);
        let record = build(&attributes, &value, self.policy.topics.of(entity), self.policy.mode);
        if record.size() > self.policy.max_record_bytes {
            return Err(Reason::RecordTooLarge);
        }
        Ok((entity, action, Disposition::Publish { record, credential }))
    }

    /// Creates the record of an encrypted password, if the event creates a user or changes a password and the
    /// operator wants it.
    fn credential(&self, event: &Event<'_>, action: Action, user_id: &str, password: Option<&str>) -> Option<Record> {
        let (Passwords::Seal(key), Some(password)) = (&self.policy.passwords, password) else { return None };
        if !matches!(action, Action::Created | Action::PasswordChanged) {
            return None;
        }
        let value = Value {
            schema_version: SCHEMA_VERSION,
            action: action.name(),
            body: Body::Credential { user_id, password: &key.seal_named(password.as_bytes()) },
            additional: super::field::Additional::default(),
            origin: self.common.origin(event),
        };
        let id = [event.id.as_deref()?, CREDENTIAL_SUFFIX].concat();
        let keys = (Some(user_id), Some(user_id));
        let attributes = self.common.attributes(event, &id, (Entity::Credential, action), keys);
        Some(build(&attributes, &value, self.policy.topics.of(Entity::Credential), self.policy.mode))
    }
}

fn prepend<'a>(event: &mut super::field::Additional<'a>, mut data: super::field::Additional<'a>) {
    std::mem::swap(event, &mut data);
    event.merge(data);
}

fn require_id<'a>(id: &Cow<'a, str>) -> Result<Cow<'a, str>, Reason> {
    if id.is_empty() { Err(Reason::MissingEntityId) } else { Ok(id.clone()) }
}

/// Returns the data as JSON. Decodes JSON text; returns other values as sent.
fn decode_data(data: Option<Raw<'_>>) -> Option<Cow<'_, RawValue>> {
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
        // One-character ids; real ones have thirty characters.
        let event = r#"{"eventId":"e","eventTime":"1","bizId":"u","bizData":"{}","eventType":"urn:alibaba:idaas:app:event:ud:user:lock"}"#;
        for count in [1, 1000, 100_000] {
            let length = 2 + count * (event.len() + 1) - 1;
            assert!(count <= max_events(length), "{count}");
        }
    }
}
