//! Records what was sent, answered and published, and finds deviations.
//!
//! The result depends on what the consumer reads, not on what the bridge reports.

use std::collections::BTreeMap;
use std::time::Duration;

use idaas_simulator::redelivery::DeliveryEvent;
use idaas_simulator::stats::{Quantiles, RunStats};

use super::event_script::Awaited;
use super::ordered::Ordered;
use crate::counts::counted;
use crate::kafka::history::tail::TopicRecord;

/// The record of everything that happened in the demo.
#[derive(Default)]
pub(super) struct Expectations {
    /// Callbacks sent.
    pub(super) callbacks: usize,
    /// Events that must be published; each id counts once.
    pub(super) events: usize,
    /// Events answered as `success`; each id counts once.
    pub(super) confirmed: usize,
    /// Events answered as `failed`; each id counts once.
    pub(super) dead_letters: usize,
    /// Events that were sent again and got the same verdict again.
    pub(super) duplicates: usize,
    /// Rejected callbacks by code.
    pub(super) refused: BTreeMap<String, usize>,
    /// The records, in the order in which they were read.
    pub(super) records: Vec<TopicRecord>,
    /// The number of records in the topics, by their offsets.
    pub(super) published: usize,
    /// Passwords that were sent.
    pub(super) passwords: Vec<String>,
    /// The number of records that contain a password.
    pub(super) leaks: usize,
    /// Descriptions of what is wrong.
    pub(super) findings: Vec<String>,
    awaited: Vec<Awaited>,
    latencies: RunStats,
}

impl Expectations {
    /// Records a callback, with the time that it took.
    pub(super) fn callback(&mut self, took: Duration) {
        self.callbacks += 1;
        self.latencies.count(&DeliveryEvent::Delivered(took));
    }

    /// Records an event that must become a record.
    pub(super) fn await_record(&mut self, awaited: Awaited) {
        self.events += 1;
        self.awaited.push(awaited);
    }

    /// Returns the record of an event, if it has been read.
    pub(super) fn record_of(&self, event_id: &str) -> Option<&TopicRecord> {
        self.records.iter().find(|record| id_of(record) == event_id)
    }

    /// Returns the quantiles of the latencies of all callbacks.
    pub(super) fn quantiles(&self) -> Quantiles {
        self.latencies.quantiles()
    }

    /// Returns the number of records by topic.
    pub(super) fn topics(&self) -> BTreeMap<&str, usize> {
        let mut topics = BTreeMap::new();
        for record in &self.records {
            *topics.entry(record.topic.as_str()).or_default() += 1;
        }
        topics
    }

    /// Compares what was sent with what was read, after everything has been read.
    pub(super) fn compare(&mut self, prefix: &str) {
        let mut findings = Vec::new();
        for awaited in &self.awaited {
            findings.extend(self.compare_event(awaited, prefix));
        }
        let known = |record: &&TopicRecord| self.awaited.iter().any(|awaited| awaited.event_id == id_of(record));
        let strange = self.records.iter().filter(|record| !known(record)).count();
        if strange > 0 {
            let strange = counted(strange as u64, "record");
            findings.push(format!("{strange} should not have been published"));
        }
        if self.published != self.records.len() {
            let (held, read) = (self.published, self.records.len());
            findings.push(format!("the topics have {}, and {read} were read", counted(held as u64, "record")));
        }
        self.leaks = self.records.iter().filter(|record| self.leaks_in(record)).count();
        if self.leaks > 0 {
            findings.push(format!("a password is in {}", counted(self.leaks as u64, "record")));
        }
        self.findings.extend(findings);
    }

    fn compare_event(&self, awaited: &Awaited, prefix: &str) -> Option<String> {
        let Awaited { event_id, entity, action, key } = awaited;
        let found: Vec<_> = self.records.iter().filter(|record| id_of(record) == event_id).collect();
        let [record] = found.as_slice() else {
            return Some(format!("{event_id} became {}", counted(found.len() as u64, "record")));
        };
        let topic = format!("{prefix}.{entity}.v1");
        let kind = format!("com.alibabacloud.idaas.{entity}.{action}.v1");
        let wrong = [
            ("topic", record.topic.as_str(), topic.as_str()),
            ("key", key_of(record), key.as_str()),
            ("ce_type", record.header("ce_type").unwrap_or_default(), kind.as_str()),
        ];
        let wrong = wrong.into_iter().find(|(_, is, should)| is != should);
        if let Some((what, is, should)) = wrong {
            return Some(format!("{event_id} has the {what} {is}, not {should}"));
        }
        // All records of an entity must be in one partition, in the order in which they were sent.
        let before = self.awaited.iter().take_while(|other| *other != awaited);
        let mut before = before.filter(|other| other.key == *key).filter_map(|other| self.record_of(&other.event_id));
        let passed = |other: &TopicRecord| {
            other.topic == record.topic && (other.partition, other.offset) >= (record.partition, record.offset)
        };
        let astray = |other: &TopicRecord| other.topic == record.topic && other.partition != record.partition;
        before.any(|other| passed(other) || astray(other)).then(|| format!("{event_id} is out of order"))
    }

    fn leaks_in(&self, record: &TopicRecord) -> bool {
        let headers = record.headers.iter().map(|(_, value)| value.as_slice());
        let parts = headers.chain(record.key.as_deref()).chain([record.value.as_slice()]);
        let mut texts = parts.map(String::from_utf8_lossy);
        let sent = texts.any(|text| self.passwords.iter().any(|password| text.contains(password.as_str())));
        sent || Ordered::parse(&record.value).has_member("password")
    }
}

fn id_of(record: &TopicRecord) -> &str {
    record.header("ce_id").unwrap_or_default()
}

/// Returns the key as text. Empty if there is none.
pub(super) fn key_of(record: &TopicRecord) -> &str {
    record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
}
