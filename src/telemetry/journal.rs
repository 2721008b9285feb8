//! The metrics of the journal and of the quarantine.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::metrics::{counters, opts, register};
use crate::journal::{JournalRefusal, Usage};

/// What is kept until Kafka takes it, and what became of it.
pub struct JournalMetrics {
    /// Entries that were published from the journal and confirmed.
    pub replayed: IntCounter,
    events: IntGauge,
    bytes: IntGauge,
    limit: IntGauge,
    oldest: IntGauge,
    quarantine: IntGauge,
    refused: IntCounterVec,
}

impl JournalMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let refused =
            counters(registry, "journal_refused_total", "Events that the journal had no room for.", &["code"])?;
        for refusal in JournalRefusal::ALL {
            refused.with_label_values(&[refusal.code()]);
        }
        let replayed = IntCounter::with_opts(opts("journal_replayed_total", "Events published from the journal."))?;
        Ok(Self {
            replayed: register(registry, replayed)?,
            events: gauge("journal_events", "Events in the journal.")?,
            bytes: gauge("journal_bytes", "Bytes that journal and quarantine take.")?,
            limit: gauge("journal_limit_bytes", "Bytes that journal and quarantine may take.")?,
            oldest: gauge("journal_oldest_seconds", "The age of the oldest event in the journal.")?,
            quarantine: gauge("quarantine_callbacks", "Callbacks that no key opens, or nobody can read.")?,
            refused,
        })
    }

    /// Counts events that the journal did not take.
    pub fn refused(&self, refusal: JournalRefusal, events: usize) {
        self.refused.with_label_values(&[refusal.code()]).inc_by(events as u64);
    }

    /// Shows what is in the journal as of `now`, in milliseconds since 1970.
    pub fn show(&self, usage: &Usage, now: i64) {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.events.set(whole(usage.events));
        self.bytes.set(whole(usage.bytes));
        self.limit.set(whole(usage.limit));
        self.oldest.set(usage.oldest_accepted_at.map_or(0, |oldest| now.saturating_sub(oldest).max(0) / 1000));
        self.quarantine.set(whole(usage.quarantine));
    }
}
