//! Dead letters as they are on their topics: found by the id of their event, and taken apart.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::kafka::history::tail::TopicRecord;
use idaas_callback::timestamp;

/// The newest dead letter of each application that a name means.
pub(super) struct Found {
    name: String,
    /// The configured names by application id.
    names: BTreeMap<String, String>,
    pub(super) newest: BTreeMap<String, Letter>,
}

impl Found {
    /// Nothing yet. `names` are the configured names by application id.
    pub(super) const fn new(name: String, names: BTreeMap<String, String>) -> Self {
        Self { name, names, newest: BTreeMap::new() }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: TopicRecord) {
        let Some((id, data)) = record.event() else { return };
        let unqualified = self.name.rsplit_once('/').is_some_and(|(_, rest)| rest == id);
        if self.name != id && !unqualified {
            return;
        }
        let Some(letter) = Letter::read(&id, data, &record) else { return };
        let qualified = self.names.get(&letter.application_id).map(|name| format!("{name}/{id}"));
        if self.name != id && qualified.as_deref() != Some(self.name.as_str()) {
            return;
        }
        let known = self.newest.get(&letter.application_id);
        if known.is_none_or(|known| known.timestamp <= letter.timestamp) {
            self.newest.insert(letter.application_id.clone(), letter);
        }
    }

    /// How to tell them apart.
    pub(super) fn ids(&self) -> Vec<String> {
        let name = |id: &String| self.names.get(id).unwrap_or(id).clone();
        self.newest.iter().map(|(id, letter)| format!("{}/{}", name(id), letter.event_id)).collect()
    }
}

/// A dead letter, as its record tells it. Has no `Debug`: it holds personal data.
pub(super) struct Letter {
    pub(super) event_id: String,
    pub(super) instance_id: String,
    pub(super) application_id: String,
    ali_uid: Option<String>,
    event_version: Option<String>,
    pub(super) reason: String,
    pub(super) received_at: i64,
    timestamp: Option<i64>,
    /// `topic/partition@offset`.
    pub(super) place: String,
    pub(super) original: Original,
}

/// What a dead letter has of its event.
pub(super) enum Original {
    /// Its JSON.
    Clear(String),
    /// A compact JWE of its JSON.
    Sealed(String),
    /// Only its size and fingerprint.
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

impl Letter {
    /// Reads a record. `None` if it is not a dead letter of this bridge.
    fn read(event_id: &str, data: &[u8], record: &TopicRecord) -> Option<Self> {
        let Data { reason, original, origin } = serde_json::from_slice(data).ok()?;
        let original = match original.map(RawValue::get) {
            None => Original::Missing,
            Some(text) if text.starts_with('"') => Original::Sealed(serde_json::from_str(text).ok()?),
            Some(text) => Original::Clear(text.to_owned()),
        };
        let received_at = origin.received_at.as_deref().and_then(timestamp::parsed).or(record.timestamp);
        Some(Self {
            event_id: event_id.to_owned(),
            instance_id: origin.instance_id,
            application_id: origin.application_id,
            ali_uid: origin.ali_uid,
            event_version: origin.event_version,
            reason,
            received_at: received_at.unwrap_or_default(),
            timestamp: record.timestamp,
            place: format!("{}/{}@{}", record.topic, record.partition, record.offset),
            original,
        })
    }

    /// The payload of a callback with this event alone.
    pub(super) fn payload(&self, event: &str) -> String {
        let text = |value: &Option<String>| serde_json::Value::from(value.clone()).to_string();
        let (ali_uid, event_version) = (text(&self.ali_uid), text(&self.event_version));
        format!(r#"{{"aliUid":{ali_uid},"eventVersion":{event_version},"eventData":[{event}]}}"#)
    }
}
