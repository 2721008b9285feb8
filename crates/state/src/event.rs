//! A record of an event topic, in binary or structured content mode.

use std::fmt;

use serde_json::{Map, Value};

use crate::entity::Entity;
use crate::time::Time;

/// What a record of an event topic says about one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The kind of entity.
    pub entity: Entity,
    /// The entity's id.
    pub id: String,
    /// What happened: `created`, `updated`, `deleted`, … An open set.
    pub action: String,
    /// When it happened: `ce_time`, or the record's timestamp if there is none.
    pub time: Time,
    /// The record's timestamp.
    pub recorded: Time,
    /// `ce_id`.
    pub event_id: String,
    /// The type as IDaaS names it; empty if the record does not tell.
    pub event_type: String,
    /// The IDaaS application.
    pub application_id: String,
    /// The IDaaS instance.
    pub instance_id: String,
    /// The entity's members that the event carries.
    pub fields: Map<String, Value>,
    /// The members of `additional`.
    pub additional: Map<String, Value>,
}

/// Why a record is not an event of an entity.
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
        let value: Value = serde_json::from_slice(value).map_err(|_| ReadError::Malformed)?;
        let Value::Object(mut value) = value else { return Err(ReadError::Malformed) };
        if !attributes.structured {
            return Self::of(entity, attributes, value, timestamp);
        }
        let Some(Value::Object(data)) = value.remove("data") else { return Err(ReadError::Malformed) };
        let attribute = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (id, source, time) = (attribute("id"), attribute("source"), attribute("time"));
        Self::of(entity, Attributes { id, source, time, structured: true }, data, timestamp)
    }

    fn of(
        entity: Entity,
        attributes: Attributes,
        mut data: Map<String, Value>,
        timestamp: i64,
    ) -> Result<Self, ReadError> {
        let Some(Value::Object(fields)) = data.remove(entity.member()) else { return Err(ReadError::MissingEntity) };
        let id = fields.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let id = id.ok_or(ReadError::MissingEntity)?.to_owned();
        let origin = |name: &str| data.get("origin").and_then(|origin| origin.get(name)).and_then(Value::as_str);
        let event_id = attributes.id.as_deref().or_else(|| origin("eventId")).filter(|id| !id.is_empty());
        let event_id = event_id.ok_or(ReadError::MissingEventId)?.to_owned();
        // "/idaas/<instance>/<application>"
        let mut source = attributes.source.as_deref().unwrap_or_default().splitn(4, '/').skip(2);
        let (instance, application) = (source.next().unwrap_or_default(), source.next().unwrap_or_default());
        let recorded = Time::from_millis(timestamp);
        let time = attributes.time.as_deref().or_else(|| origin("eventTime"));
        Ok(Self {
            entity,
            id,
            action: data.get("action").and_then(Value::as_str).unwrap_or_default().to_owned(),
            time: time.and_then(Time::parse).unwrap_or(recorded),
            recorded,
            event_id,
            event_type: origin("eventType").unwrap_or_default().to_owned(),
            application_id: origin("applicationId").unwrap_or(application).to_owned(),
            instance_id: origin("instanceId").unwrap_or(instance).to_owned(),
            fields,
            additional: match data.remove("additional") {
                Some(Value::Object(additional)) => additional,
                Some(_) | None => Map::new(),
            },
        })
    }
}

/// The CloudEvents attributes that matter here.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    source: Option<String>,
    time: Option<String>,
    structured: bool,
}

impl Attributes {
    fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut attributes = Self::default();
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            match name.to_ascii_lowercase().as_str() {
                "ce_id" => attributes.id = Some(value.to_owned()),
                "ce_source" => attributes.source = Some(value.to_owned()),
                "ce_time" => attributes.time = Some(value.to_owned()),
                "content-type" => {
                    attributes.structured = value.to_ascii_lowercase().starts_with("application/cloudevents+json");
                }
                _ => {}
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
