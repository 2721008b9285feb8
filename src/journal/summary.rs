//! The journal as operators see it, over the admin listener and with `--json`. Ids,
//! numbers and times, and nothing of what events say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quarantine::{DeliveryOrder, QuarantineRow};
use super::row::EntryRow;
use super::waiting::{LaneHead, WaitState};
use crate::telemetry::journal::Usage;

/// Summary of the journal. Times are milliseconds since 1970 in the fields, and RFC 3339 in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Number of entries.
    pub events: u64,
    /// Size of entries and quarantine, in bytes.
    pub bytes: u64,
    /// Limit of `bytes`.
    pub limit_bytes: u64,
    /// When the oldest entry was received.
    #[serde(rename = "oldestAcceptedAt", with = "optional_time")]
    pub oldest_received_at: Option<i64>,
    /// Entries by application, entity and topic.
    pub groups: Vec<Group>,
    /// The oldest entries.
    pub oldest: Vec<EntrySummary>,
    /// The heads of waiting lanes, with their reasons.
    #[serde(default)]
    pub waiting: Vec<LaneHead>,
    /// Older keys that are still in use.
    pub old_keys: Vec<OldKey>,
    /// Number of callbacks in quarantine.
    pub quarantine_callbacks: u64,
    /// Size of the quarantine, in bytes.
    pub quarantine_bytes: u64,
    /// Limit of `quarantine_bytes`.
    pub quarantine_limit_bytes: u64,
    /// Callbacks in quarantine by application and reason.
    pub quarantine_groups: Vec<QuarantinedGroup>,
    /// The oldest callbacks in quarantine.
    pub quarantine: Vec<QuarantinedSummary>,
}

/// A key that is not the first of `journal.keys`, but is still in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldKey {
    /// Its id.
    pub key: String,
    /// Number of entries and quarantined callbacks sealed with it.
    pub entries: u64,
}

/// The quarantined callbacks of one application with the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedGroup {
    /// The application's configured name.
    pub application: String,
    /// Reason code.
    pub reason: String,
    /// Number of callbacks.
    pub callbacks: u64,
    /// Size of their contents, in bytes.
    pub bytes: u64,
    /// When the oldest was received.
    #[serde(with = "time")]
    pub oldest_received_at: i64,
}

/// The entries with the same application, entity and topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The application's configured name.
    pub application: String,
    /// Their entity.
    pub entity: String,
    /// Their topic.
    pub topic: String,
    /// Number of entries.
    pub events: u64,
    /// Size of their sealed bodies, in bytes.
    pub bytes: u64,
    /// When the oldest was received.
    #[serde(rename = "oldestAcceptedAt", with = "time")]
    pub oldest_received_at: i64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntrySummary {
    /// Sequence number: the position in the order of acceptance.
    pub seq: u64,
    /// The event's id.
    pub event_id: String,
    /// The application's configured name.
    pub application: String,
    /// Entity of the record.
    pub entity: String,
    /// Topic of the record.
    pub topic: String,
    /// Reason code, if it is a dead letter.
    pub reason: Option<String>,
    /// When the event was received.
    #[serde(rename = "acceptedAt", with = "time")]
    pub received_at: i64,
    /// Why the entry waits, if it is the head of its lane and a service is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitState>,
}

/// One callback in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedSummary {
    /// Id of the callback.
    pub id: String,
    /// The application's configured name.
    pub application: String,
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// Reason code.
    pub reason: String,
    /// When the callback was received.
    #[serde(with = "time")]
    pub received_at: i64,
    /// Size of the content, in bytes.
    pub bytes: u64,
}

/// Builds a summary. Rows are added in pages, because there can be a million of them.
pub(super) struct SummaryBuilder {
    groups: BTreeMap<(String, &'static str, String), Group>,
    oldest: Vec<EntrySummary>,
    quarantine_groups: BTreeMap<(String, &'static str), QuarantinedGroup>,
    quarantined: BTreeMap<DeliveryOrder, QuarantinedSummary>,
    limit: usize,
}

impl SummaryBuilder {
    /// Creates a builder that lists up to `limit` entries and callbacks individually.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            groups: BTreeMap::new(),
            oldest: Vec::new(),
            quarantine_groups: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            limit,
        }
    }

    /// Adds an entry. Entries must be added in order, oldest first.
    pub(super) fn add(&mut self, row: &EntryRow) {
        if self.oldest.len() < self.limit {
            self.oldest.push(EntrySummary::from(row));
        }
        let key = (row.application.clone(), row.entity.name(), row.topic.to_string());
        let group = self.groups.entry(key).or_insert_with(|| Group {
            application: row.application.clone(),
            entity: row.entity.name().to_owned(),
            topic: row.topic.to_string(),
            events: 0,
            bytes: 0,
            oldest_received_at: row.received_at,
        });
        group.events += 1;
        group.bytes += row.bytes;
        group.oldest_received_at = group.oldest_received_at.min(row.received_at);
    }

    /// Adds a callback in quarantine, in any order.
    pub(super) fn add_quarantined(&mut self, row: &QuarantineRow) {
        let key = (row.application.clone(), row.reason.code());
        let group = self.quarantine_groups.entry(key).or_insert_with(|| QuarantinedGroup {
            application: row.application.clone(),
            reason: row.reason.code().to_owned(),
            callbacks: 0,
            bytes: 0,
            oldest_received_at: row.received_at,
        });
        group.callbacks += 1;
        group.bytes += row.bytes;
        group.oldest_received_at = group.oldest_received_at.min(row.received_at);
        let order = DeliveryOrder { received_at: row.received_at, id: row.id };
        if self.quarantined.len() < self.limit
            || self.quarantined.last_key_value().is_some_and(|(last, _)| order < *last)
        {
            self.quarantined.insert(order, QuarantinedSummary::from(row));
            if self.quarantined.len() > self.limit {
                self.quarantined.pop_last();
            }
        }
    }

    pub(super) fn finish(self, usage: &Usage, waiting: Vec<LaneHead>, old_keys: Vec<(String, u64)>) -> Summary {
        Summary {
            events: usage.events,
            bytes: usage.bytes,
            limit_bytes: usage.limit,
            oldest_received_at: usage.oldest_received_at,
            groups: self.groups.into_values().collect(),
            oldest: self.oldest,
            waiting,
            old_keys: old_keys.into_iter().map(|(key, entries)| OldKey { key, entries }).collect(),
            quarantine_callbacks: usage.quarantine,
            quarantine_bytes: usage.quarantine_bytes,
            quarantine_limit_bytes: usage.quarantine_limit,
            quarantine_groups: self.quarantine_groups.into_values().collect(),
            quarantine: self.quarantined.into_values().collect(),
        }
    }
}

impl From<&EntryRow> for EntrySummary {
    fn from(row: &EntryRow) -> Self {
        Self {
            seq: row.seq.0,
            event_id: row.event_id.clone(),
            application: row.application.clone(),
            entity: row.entity.name().to_owned(),
            topic: row.topic.to_string(),
            reason: row.reason.map(|reason| reason.code().to_owned()),
            received_at: row.received_at,
            waiting: None,
        }
    }
}

impl From<&QuarantineRow> for QuarantinedSummary {
    fn from(row: &QuarantineRow) -> Self {
        Self {
            id: row.id.to_string(),
            application: row.application.clone(),
            instance_id: row.instance_id.clone(),
            reason: row.reason.code().to_owned(),
            received_at: row.received_at,
            bytes: row.bytes,
        }
    }
}

/// Represents a time as RFC 3339, or as a number if RFC 3339 cannot express it.
pub(super) mod time {
    use idaas_callback::timestamp::{parse_rfc3339, rfc3339};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::journal) fn serialize<S: Serializer>(milliseconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        match rfc3339(*milliseconds) {
            Some(text) => serializer.serialize_str(&text),
            None => serializer.serialize_i64(*milliseconds),
        }
    }

    pub(in crate::journal) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Time {
            Text(String),
            Number(i64),
        }
        match Time::deserialize(deserializer)? {
            Time::Text(text) => parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time in RFC 3339")),
            Time::Number(milliseconds) => Ok(milliseconds),
        }
    }
}

/// Like [`time`], for an optional time.
mod optional_time {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Time(#[serde(with = "super::time")] i64);

    pub(in crate::journal) fn serialize<S: Serializer>(
        milliseconds: &Option<i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        milliseconds.map(Time).serialize(serializer)
    }

    pub(in crate::journal) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(milliseconds)| milliseconds))
    }
}
