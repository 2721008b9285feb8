//! The metrics of the journal and of the quarantine.

use std::collections::BTreeMap;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{Total, counters, opts, register};
use crate::journal::{JournalRefusal, Usage};
use crate::outbox::WaitReason;

/// What is kept until Kafka takes it, and what became of it.
pub struct JournalMetrics {
    /// Events that were read back from the journal and confirmed.
    replayed: Total,
    waiting: IntGaugeVec,
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
        let waiting = opts("journal_waiting_events", "Events at the head of their lane that wait, by reason.");
        let waiting = register(registry, IntGaugeVec::new(waiting, &["code"])?)?;
        Ok(Self {
            replayed: Total::new(
                registry,
                "journal_replayed_total",
                "Events that were read back from the journal and confirmed by the broker.",
            )?,
            waiting,
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

    /// Shows why the heads of lanes wait, and how many events were confirmed from the journal since the start.
    pub fn show_waiting(&self, heads: &BTreeMap<WaitReason, usize>, replayed: u64) {
        for reason in WaitReason::all() {
            let count = heads.get(&reason).copied().unwrap_or_default();
            self.waiting.with_label_values(&[reason.code()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.replayed.follow(replayed);
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
