//! A CloudEvent as a Kafka record: topic, key, headers, value (CloudEvents 1.0.2, Kafka protocol binding).

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::event_type::{Action, Entity};
use super::headers::{HeaderName, Headers};
use super::policy::EventMode;
use super::value::Value;

/// A record ready for the producer. Has no `Debug`: it holds personal data.
#[derive(Clone)]
pub struct Record {
    /// The entity that decides topic and schema.
    pub entity: Entity,
    /// The topic to publish to.
    pub topic: Arc<str>,
    /// The record key, usually the entity's id, which decides the partition. `None` only for a dead letter without
    /// any id.
    pub key: Option<String>,
    /// JSON in UTF-8.
    pub value: Vec<u8>,
    /// The CloudEvents attributes and the content type.
    pub headers: Headers,
    /// Time of receipt, in milliseconds since 1970.
    pub timestamp: i64,
}

/// The attributes of one CloudEvent.
pub(super) struct Attributes<'a> {
    pub(super) id: &'a str,
    pub(super) instance_id: &'a str,
    pub(super) application_id: &'a str,
    pub(super) entity: Entity,
    pub(super) action: Action,
    pub(super) subject: Option<&'a str>,
    pub(super) time: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) traceparent: Option<&'a str>,
    pub(super) timestamp: i64,
}

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    dataschema: &'a str,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

/// The suffix that the `ce_id` of a credential record adds to the event id, because CloudEvents requires `source` and
/// `id` together to be unique.
pub const CREDENTIAL_SUFFIX: &str = ":credential";

const SPECVERSION: &str = "1.0";

/// The initial capacity of a record's value, in bytes. A user has about this size.
const VALUE_CAPACITY: usize = 1536;

/// Builds the record of a value, for a topic.
pub(super) fn build(attributes: &Attributes<'_>, value: &Value<'_>, topic: &Arc<str>, mode: EventMode) -> Record {
    let Attributes { entity, .. } = *attributes;
    let mut json = Vec::with_capacity(VALUE_CAPACITY);
    // Cannot fail: it writes to memory, and every key is a string.
    if serde_json::to_writer(&mut json, value).is_err() {
        json.clear();
    }
    let (headers, value) = match mode {
        EventMode::Binary => (binary(attributes), json),
        EventMode::Structured => structured(attributes, json),
    };
    Record {
        entity,
        topic: Arc::clone(topic),
        key: attributes.key.map(str::to_owned),
        value,
        headers,
        timestamp: attributes.timestamp,
    }
}

impl Record {
    /// Returns the size that counts against the limits of the producer and the broker, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        self.value.len() + self.key.as_ref().map_or(0, String::len) + headers
    }
}

/// Returns the parts of the attribute `source`.
const fn source<'a>(attributes: &Attributes<'a>) -> [&'a str; 4] {
    ["/idaas/", attributes.instance_id, "/", attributes.application_id]
}

/// Returns the parts of the attribute `type`.
fn ce_type(attributes: &Attributes<'_>) -> [&'static str; 5] {
    ["com.alibabacloud.idaas.", attributes.entity.name(), ".", attributes.action.name(), ".v1"]
}

const fn dataschema(entity: Entity) -> &'static str {
    match entity {
        Entity::User => "urn:idaas-bridge:schema:user:v1",
        Entity::OrganizationalUnit => "urn:idaas-bridge:schema:organizational-unit:v1",
        Entity::Group => "urn:idaas-bridge:schema:group:v1",
        Entity::Connectivity => "urn:idaas-bridge:schema:connectivity:v1",
        Entity::Unclassified => "urn:idaas-bridge:schema:unclassified:v1",
        Entity::DeadLetter => "urn:idaas-bridge:schema:dead-letter:v1",
        Entity::Credential => "urn:idaas-bridge:schema:credential:v1",
    }
}

fn binary(attributes: &Attributes<'_>) -> Headers {
    let mut headers = Headers::with_typical_capacity();
    headers.push(HeaderName::ContentType, &["application/json"]);
    headers.push(HeaderName::SpecVersion, &[SPECVERSION]);
    headers.push(HeaderName::Id, &[attributes.id]);
    headers.push(HeaderName::Source, &source(attributes));
    headers.push(HeaderName::Type, &ce_type(attributes));
    headers.push(HeaderName::DataSchema, &[dataschema(attributes.entity)]);
    let optional = [
        (HeaderName::Subject, attributes.subject),
        (HeaderName::Time, attributes.time),
        (HeaderName::PartitionKey, attributes.key),
        (HeaderName::TraceParent, attributes.traceparent),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            headers.push(name, &[value]);
        }
    }
    headers
}

fn structured(attributes: &Attributes<'_>, json: Vec<u8>) -> (Headers, Vec<u8>) {
    let headers = Headers::from_iter([(HeaderName::ContentType, "application/cloudevents+json; charset=UTF-8")]);
    let data = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
    let event = Structured {
        specversion: SPECVERSION,
        id: attributes.id,
        source: &source(attributes).concat(),
        r#type: &ce_type(attributes).concat(),
        subject: attributes.subject,
        time: attributes.time,
        dataschema: dataschema(attributes.entity),
        datacontenttype: "application/json",
        partitionkey: attributes.key,
        traceparent: attributes.traceparent,
        data: data.as_deref().unwrap_or(RawValue::NULL),
    };
    (headers, serde_json::to_vec(&event).unwrap_or_default())
}
