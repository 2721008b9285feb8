//! Finds dead letters by the id of their event, and decodes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::kafka::history::tail::TopicRecord;
use idaas_callback::timestamp;

/// The newest matching dead letter of each application.
pub(super) struct Found {
    name: String,
    /// The configured names by application id.
    names: BTreeMap<String, String>,
    pub(super) newest: BTreeMap<String, DeadLetter>,
}

impl Found {
    /// Creates an empty result. `names` are the configured names by application id.
    pub(super) const fn new(name: String, names: BTreeMap<String, String>) -> Self {
        Self { name, names, newest: BTreeMap::new() }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: TopicRecord) {
        let Some((id, data)) = record.event() else { return };
        let is_qualified = self.name.rsplit_once('/').is_some_and(|(_, rest)| rest == id);
        if self.name != id && !is_qualified {
            return;
        }
        let Some(letter) = DeadLetter::read(&id, data, &record) else { return };
        let qualified = self.names.get(&letter.application_id).map(|name| format!("{name}/{id}"));
        if self.name != id && qualified.as_deref() != Some(self.name.as_str()) {
            return;
        }
        let known = self.newest.get(&letter.application_id);
        if known.is_none_or(|known| known.timestamp <= letter.timestamp) {
            self.newest.insert(letter.application_id.clone(), letter);
        }
    }

    /// Returns the ids that distinguish the dead letters found: `application/id`.
    pub(super) fn ids(&self) -> Vec<String> {
        let name = |id: &String| self.names.get(id).unwrap_or(id).clone();
        self.newest.iter().map(|(id, letter)| format!("{}/{}", name(id), letter.event_id)).collect()
    }
}

/// A decoded dead letter. Has no `Debug`, because it holds personal data.
pub(super) struct DeadLetter {
    pub(super) event_id: String,
    pub(super) instance_id: String,
    pub(super) application_id: String,
    ali_uid: Option<String>,
    event_version: Option<String>,
    pub(super) reason: String,
    pub(super) received_at: i64,
    timestamp: Option<i64>,
    /// `topic/partition@offset`.
    pub(super) position: String,
    pub(super) original: Original,
}

/// The original event, as far as the dead letter contains it.
pub(super) enum Original {
    /// The event's JSON.
    Clear(String),
    /// The event's JSON as a compact JWE.
    Sealed(String),
    /// Only the event's size and fingerprint.
    Missing,
}

#[derive(Deserialize)]
struct Data<'a> {
    reason: String,
    #[serde(borrow)]
    original: Option<&'a RawValue>,
    origin: Origin,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    instance_id: String,
    application_id: String,
    ali_uid: Option<String>,
    event_version: Option<String>,
    received_at: Option<String>,
}

impl DeadLetter {
    /// Decodes a record. Returns `None` if it is not a dead letter of this service.
    fn read(event_id: &str, data: &[u8], record: &TopicRecord) -> Option<Self> {
        let Data { reason, original, origin } = serde_json::from_slice(data).ok()?;
        let original = match original.map(RawValue::get) {
            None => Original::Missing,
            Some(text) if text.starts_with('"') => Original::Sealed(serde_json::from_str(text).ok()?),
            Some(text) => Original::Clear(text.to_owned()),
        };
        let received_at = origin.received_at.as_deref().and_then(timestamp::parse_rfc3339).or(record.timestamp);
        Some(Self {
            event_id: event_id.to_owned(),
            instance_id: origin.instance_id,
            application_id: origin.application_id,
            ali_uid: origin.ali_uid,
            event_version: origin.event_version,
            reason,
            received_at: received_at.unwrap_or_default(),
            timestamp: record.timestamp,
            position: format!("{}/{}@{}", record.topic, record.partition, record.offset),
            original,
        })
    }

    /// Returns the payload of a callback that contains only this event.
    pub(super) fn payload(&self, event: &str) -> String {
        let text = |value: &Option<String>| serde_json::Value::from(value.clone()).to_string();
        let (ali_uid, event_version) = (text(&self.ali_uid), text(&self.event_version));
        format!(r#"{{"aliUid":{ali_uid},"eventVersion":{event_version},"eventData":[{event}]}}"#)
    }
}
