//! What is told of the journal to an operator: in this form it goes over the admin listener and into `--json`. Ids,
//! numbers and times, and nothing of what events say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::handle::Usage;
use super::quarantine::QuarantineRow;
use super::row::Row;

/// Everything at a glance. Times in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Entries.
    pub events: u64,
    /// What entries and quarantine take, in bytes.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub limit_bytes: u64,
    /// When the oldest entry was accepted.
    pub oldest_accepted_at: Option<i64>,
    /// Entries by where they belong.
    pub groups: Vec<Group>,
    /// The oldest entries.
    pub oldest: Vec<Waiting>,
    /// Callbacks in quarantine, oldest first.
    pub quarantine: Vec<Held>,
}

/// The entries of one application for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The application's configured name.
    pub application: String,
    /// What they are about.
    pub entity: String,
    /// Where they go.
    pub topic: String,
    /// How many there are.
    pub events: u64,
    /// What their bodies take, in bytes.
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest_accepted_at: i64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Its place in the order of acceptance.
    pub seq: u64,
    /// The event's id.
    pub event_id: String,
    /// The application's configured name.
    pub application: String,
    /// What it is about.
    pub entity: String,
    /// Where it goes.
    pub topic: String,
    /// Why it is a dead letter, where it is one.
    pub reason: Option<String>,
    /// When it was accepted.
    pub accepted_at: i64,
}

/// One callback in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its name.
    pub id: String,
    /// The application's configured name.
    pub application: String,
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// Why it is there.
    pub reason: String,
    /// When it was accepted.
    pub received_at: i64,
    /// The size of its content, in bytes.
    pub bytes: u64,
}

/// A summary in the making: rows come in portions, because there can be a million.
pub(super) struct Summing {
    groups: BTreeMap<(String, &'static str, String), Group>,
    oldest: Vec<Waiting>,
    longest: usize,
}

impl Summing {
    /// Shows up to `longest` entries by themselves.
    pub(super) const fn new(longest: usize) -> Self {
        Self { groups: BTreeMap::new(), oldest: Vec::new(), longest }
    }

    pub(super) fn add(&mut self, row: &Row) {
        if self.oldest.len() < self.longest {
            self.oldest.push(Waiting::from(row));
        }
        let key = (row.application.clone(), row.entity.name(), row.topic.to_string());
        let group = self.groups.entry(key).or_insert_with(|| Group {
            application: row.application.clone(),
            entity: row.entity.name().to_owned(),
            topic: row.topic.to_string(),
            events: 0,
            bytes: 0,
            oldest_accepted_at: row.accepted_at,
        });
        group.events += 1;
        group.bytes += row.bytes;
        group.oldest_accepted_at = group.oldest_accepted_at.min(row.accepted_at);
    }

    pub(super) fn end(self, usage: &Usage, quarantine: Vec<QuarantineRow>) -> Summary {
        Summary {
            events: usage.events,
            bytes: usage.bytes,
            limit_bytes: usage.limit,
            oldest_accepted_at: usage.oldest_accepted_at,
            groups: self.groups.into_values().collect(),
            oldest: self.oldest,
            quarantine: quarantine.iter().map(Held::from).collect(),
        }
    }
}

impl From<&Row> for Waiting {
    fn from(row: &Row) -> Self {
        Self {
            seq: row.seq.0,
            event_id: row.event_id.clone(),
            application: row.application.clone(),
            entity: row.entity.name().to_owned(),
            topic: row.topic.to_string(),
            reason: row.reason.map(|reason| reason.code().to_owned()),
            accepted_at: row.accepted_at,
        }
    }
}

impl From<&QuarantineRow> for Held {
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
