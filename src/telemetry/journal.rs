//! The journal's and the quarantine's metrics.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::metrics::{counters, opts, register};
use crate::journal::{JournalRefusal, Usage};

/// What waits on the disk.
pub struct JournalMetrics {
    events: IntGauge,
    bytes: IntGauge,
    limit: IntGauge,
    oldest: IntGauge,
    quarantine: IntGauge,
    replayed: IntCounter,
    refused: IntCounterVec,
}

impl JournalMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let refused = counters(registry, "journal_refused_total", "Events the journal had no room for.", &["code"])?;
        for refusal in JournalRefusal::ALL {
            refused.with_label_values(&[refusal.code()]);
        }
        Ok(Self {
            events: gauge("journal_events", "Events that wait in the journal.")?,
            bytes: gauge("journal_bytes", "What they and the quarantine take, in bytes.")?,
            limit: gauge("journal_limit_bytes", "What they may take, in bytes: journal.max_size.")?,
            oldest: gauge("journal_oldest_seconds", "How long the oldest event has waited in the journal.")?,
            quarantine: gauge("quarantine_callbacks", "Callbacks that are kept until they can be read.")?,
            replayed: register(
                registry,
                IntCounter::with_opts(opts("journal_replayed_total", "Events read back to be published."))?,
            )?,
            refused,
        })
    }

    /// Shows what is in the journal, `now` in milliseconds since 1970.
    pub(crate) fn show(&self, usage: &Usage, now: i64) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.events.set(number(usage.events));
        self.bytes.set(number(usage.bytes));
        self.limit.set(number(usage.limit));
        self.oldest.set(usage.oldest_accepted_at.map_or(0, |at| (now - at).max(0) / 1000));
        self.quarantine.set(number(usage.quarantine));
    }

    /// Counts events that were read back.
    pub(crate) fn replayed(&self, events: usize) {
        self.replayed.inc_by(events as u64);
    }

    /// Counts events that found no room.
    pub(crate) fn refused(&self, refusal: JournalRefusal, events: usize) {
        self.refused.with_label_values(&[refusal.code()]).inc_by(events as u64);
    }
}
