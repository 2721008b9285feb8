//! A record of an event topic, in binary or structured content mode.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::entity::Entity;
use crate::json::{Document, Json, Object, SharedStr};
use crate::path::Path;
use crate::time::Time;

/// An event of one entity, read from a record of an event topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The kind of entity.
    pub entity: Entity,
    /// The entity's id.
    pub id: String,
    /// The action: `created`, `updated`, `deleted`, … An open set.
    pub action: String,
    /// The time of the event: `ce_time`, or the record's timestamp if there is none.
    pub time: Time,
    /// The record's timestamp.
    pub recorded: Time,
    /// `ce_id`.
    pub event_id: String,
    /// The type as IDaaS names it; empty if the record does not contain it.
    pub event_type: String,
    /// The IDaaS application.
    pub application_id: String,
    /// The IDaaS instance.
    pub instance_id: String,
    /// The entity's members that the event carries.
    pub fields: Fields,
    /// The members of `additional`.
    pub additional: BTreeMap<SharedStr, Json>,
}

/// The entity's members that an event carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    object: Json,
    pub(crate) leaves: Vec<(Path, Json)>,
    pub(crate) has_status: bool,
    pub(crate) members: Option<Json>,
    pub(crate) added_members: Option<Json>,
    pub(crate) removed_members: Option<Json>,
}

impl Fields {
    /// Creates the fields from the members of an entity.
    ///
    /// # Errors
    /// [`ReadError`] if they are nested too deep.
    pub fn new(entity: Entity, members: &Map<String, Value>) -> Result<Self, ReadError> {
        let text = serde_json::to_vec(members).map_err(|_| ReadError::Malformed)?;
        let document = Document::read(&text).ok_or(ReadError::Malformed)?;
        Self::read(entity, &document, document.text())
    }

    fn read(entity: Entity, document: &Document, text: &str) -> Result<Self, ReadError> {
        let object = Object::read(text).ok_or(ReadError::MissingEntity)?;
        let leaves = document.leaves(&object, |name| entity.has_field(name)).ok_or(ReadError::Malformed)?;
        let list = |name: &str| object.get(name).filter(|_| entity.has_members()).map(|list| document.json(list));
        Ok(Self {
            object: document.json(text),
            leaves,
            has_status: object.get("status").is_some(),
            members: list("members"),
            added_members: list("addedMembers"),
            removed_members: list("removedMembers"),
        })
    }

    /// Returns the members as a tree.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.object.to_value()
    }
}

/// The reason why a record is not an event of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The value is not JSON, or not the JSON of a CloudEvent.
    Malformed,
    /// There is no `ce_id`.
    MissingEventId,
    /// The value has no entity of the expected kind with an id.
    MissingEntity,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the value is not the JSON of an event",
            Self::MissingEventId => "the record has no ce_id",
            Self::MissingEntity => "the value has no entity with an id",
        })
    }
}

impl std::error::Error for ReadError {}

impl Event {
    /// Reads a record of the event topic of `entity`. `timestamp` is the record's, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ReadError`] if the record is not an event of such an entity.
    pub fn read<'a>(
        entity: Entity,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
        timestamp: i64,
    ) -> Result<Self, ReadError> {
        let attributes = Attributes::read(headers);
        let document = Document::read(value).ok_or(ReadError::Malformed)?;
        let value = Object::read(document.text()).ok_or(ReadError::Malformed)?;
        if !attributes.structured {
            return Self::of(entity, &attributes, &document, &value, timestamp);
        }
        let (id, source, time) = (value.text("id"), value.text("source"), value.text("time"));
        let data = value.object("data").ok_or(ReadError::Malformed)?;
        Self::of(entity, &Attributes { id, source, time, structured: true }, &document, &data, timestamp)
    }

    fn of(
        entity: Entity,
        attributes: &Attributes<'_>,
        document: &Document,
        data: &Object<'_>,
        timestamp: i64,
    ) -> Result<Self, ReadError> {
        let text = data.get(entity.member()).ok_or(ReadError::MissingEntity)?;
        let object = Object::read(text).ok_or(ReadError::MissingEntity)?;
        let id = object.text("id").filter(|id| !id.is_empty()).ok_or(ReadError::MissingEntity)?;
        let origin = data.object("origin");
        let origin = |name: &str| origin.as_ref().and_then(|origin| origin.text(name));
        let event_id = attributes.id.clone().or_else(|| origin("eventId")).filter(|id| !id.is_empty());
        // "/idaas/<instance>/<application>"
        let mut source = attributes.source.as_deref().unwrap_or_default().splitn(4, '/').skip(2);
        let (instance, application) = (source.next().unwrap_or_default(), source.next().unwrap_or_default());
        let recorded = Time::from_millis(timestamp);
        let time = attributes.time.clone().or_else(|| origin("eventTime"));
        let additional = data.object("additional").map(|additional| additional.members).unwrap_or_default();
        Ok(Self {
            entity,
            action: data.text("action").unwrap_or_default().into_owned(),
            time: time.as_deref().and_then(Time::parse).unwrap_or(recorded),
            recorded,
            event_id: event_id.ok_or(ReadError::MissingEventId)?.into_owned(),
            event_type: origin("eventType").unwrap_or_default().into_owned(),
            application_id: origin("applicationId").map_or_else(|| application.to_owned(), Cow::into_owned),
            instance_id: origin("instanceId").map_or_else(|| instance.to_owned(), Cow::into_owned),
            fields: Fields::read(entity, document, text)?,
            additional: additional.iter().map(|(name, value)| (document.share(name), document.json(value))).collect(),
            id: id.into_owned(),
        })
    }
}

/// The CloudEvents attributes that the merge uses.
#[derive(Default)]
struct Attributes<'a> {
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    structured: bool,
}

impl<'a> Attributes<'a> {
    fn read(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut attributes = Self::default();
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            if name.eq_ignore_ascii_case("ce_id") {
                attributes.id = Some(Cow::Borrowed(value));
            } else if name.eq_ignore_ascii_case("ce_source") {
                attributes.source = Some(Cow::Borrowed(value));
            } else if name.eq_ignore_ascii_case("ce_time") {
                attributes.time = Some(Cow::Borrowed(value));
            } else if name.eq_ignore_ascii_case("content-type") {
                attributes.structured = value.to_ascii_lowercase().starts_with("application/cloudevents+json");
            }
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"{"schemaVersion":"1.0","action":"created","user":{"id":"u","username":"zs"},"additional":{"a":1},
        "origin":{"eventId":"e","eventType":"t","instanceId":"i","applicationId":"a","receivedAt":"x"}}"#;

    fn read(headers: &[(&str, &str)], value: &str) -> Result<Event, ReadError> {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        Event::read(Entity::User, headers, value.as_bytes(), 1000)
    }

    #[test]
    fn both_content_modes_give_the_same_event() {
        let time = "2022-03-30T07:34:52.578Z";
        let binary = [("ce_id", "e"), ("ce_source", "/idaas/i/a"), ("ce_time", time)];
        let structured = format!(r#"{{"id":"e","source":"/idaas/i/a","time":"{time}","data":{DATA}}}"#);
        let event = read(&binary, DATA).unwrap();
        let mode = [("content-type", "application/cloudevents+json; charset=UTF-8")];
        assert_eq!(read(&mode, &structured), Ok(event.clone()));
        assert_eq!((event.time.to_string(), event.recorded), (time.to_owned(), Time::from_millis(1000)));
        assert_eq!((event.event_type.as_str(), event.instance_id.as_str()), ("t", "i"));
    }

    #[test]
    fn without_a_time_the_timestamp_counts() {
        assert_eq!(read(&[], DATA).unwrap().time, Time::from_millis(1000));
    }

    #[test]
    fn records_of_others_are_not_events() {
        assert_eq!(read(&[], "{"), Err(ReadError::Malformed));
        assert_eq!(read(&[], "[]"), Err(ReadError::Malformed));
        assert_eq!(read(&[("ce_id", "e")], r#"{"group":{"id":"g"}}"#), Err(ReadError::MissingEntity));
        assert_eq!(read(&[("ce_id", "e")], r#"{"user":{"id":""}}"#), Err(ReadError::MissingEntity));
        assert_eq!(read(&[], r#"{"user":{"id":"u"}}"#), Err(ReadError::MissingEventId));
    }
}
