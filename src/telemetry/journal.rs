//! The metrics of the journal and of the quarantine.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox::WaitReason;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{Total, counters, opts, register};

/// Reason why the journal rejects data now. It accepts data again as soon as the cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JournalRejection {
    /// `journal.max_size` is reached.
    Full,
    /// The quarantine has reached its share of `journal.max_size`. Entries are still accepted.
    QuarantineFull,
    /// Too much data waits to be written.
    Busy,
    /// The disk is full.
    DiskFull,
    /// Writing or syncing failed, or the data on the disk cannot be trusted.
    Failed,
}

impl JournalRejection {
    /// All reasons.
    pub const ALL: [Self; 5] = [Self::Full, Self::QuarantineFull, Self::Busy, Self::DiskFull, Self::Failed];

    /// Returns the stable code, used as a metric label.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What is in the journal, for metrics and operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of entries.
    pub events: u64,
    /// Size of entries and quarantine, in bytes.
    pub bytes: u64,
    /// Limit of `bytes`.
    pub limit: u64,
    /// When the oldest entry was received, in milliseconds since 1970.
    pub oldest_received_at: Option<i64>,
    /// Number of callbacks in quarantine.
    pub quarantine: u64,
    /// Size of the quarantine, in bytes.
    pub quarantine_bytes: u64,
    /// Limit of `quarantine_bytes`.
    pub quarantine_limit: u64,
    /// Number of callbacks that the quarantine has rejected since the start, by reason, in the order of
    /// [`JournalRejection::ALL`].
    pub quarantine_rejected: [u64; JournalRejection::ALL.len()],
    /// Number of entries and callbacks sealed with a key other than the first of `journal.keys`.
    pub old_key: u64,
}

/// The number and size of journal entries and quarantined callbacks, and their outcomes.
pub struct JournalMetrics {
    /// Journal entries that were published and confirmed.
    replayed: Total,
    waiting: IntGaugeVec,
    events: IntGauge,
    bytes: IntGauge,
    limit: IntGauge,
    oldest: IntGauge,
    old_key: IntGauge,
    quarantine: IntGauge,
    quarantine_bytes: IntGauge,
    quarantine_limit: IntGauge,
    refused: IntCounterVec,
    /// The quarantine's rejections already counted in `refused`, in the order of [`JournalRejection::ALL`].
    counted: [AtomicU64; JournalRejection::ALL.len()],
}

impl JournalMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let help = "Events that the journal, and callbacks that the quarantine did not accept.";
        let refused = counters(registry, "journal_refused_total", help, &["code"])?;
        for rejection in JournalRejection::ALL {
            refused.with_label_values(&[rejection.code()]);
        }
        let waiting = opts("journal_waiting_events", "The first waiting event of each entity, by reason.");
        let waiting = register(registry, IntGaugeVec::new(waiting, &["code"])?)?;
        Ok(Self {
            replayed: Total::new(
                registry,
                "journal_replayed_total",
                "Events that were read back from the journal and confirmed by the broker.",
            )?,
            waiting,
            events: gauge("journal_events", "Events in the journal.")?,
            bytes: gauge("journal_bytes", "Bytes that journal and quarantine use.")?,
            limit: gauge("journal_limit_bytes", "Bytes that journal and quarantine may use.")?,
            oldest: gauge("journal_oldest_seconds", "The age of the oldest event in the journal.")?,
            old_key: gauge(
                "journal_old_key_entries",
                "Entries and quarantined callbacks sealed with a key other than the first of journal.keys.",
            )?,
            quarantine: gauge("quarantine_callbacks", "Callbacks that cannot be decrypted or read.")?,
            quarantine_bytes: gauge("quarantine_bytes", "Bytes that the quarantine uses.")?,
            quarantine_limit: gauge("quarantine_limit_bytes", "Bytes that the quarantine may use.")?,
            refused,
            counted: Default::default(),
        })
    }

    /// Counts events that the journal rejected.
    pub fn refused(&self, rejection: JournalRejection, events: usize) {
        self.refused.with_label_values(&[rejection.code()]).inc_by(events as u64);
    }

    /// Returns the number of events that the journal rejected since the start.
    #[must_use]
    pub fn events_refused(&self) -> u64 {
        let refused = JournalRejection::ALL
            .into_iter()
            .map(|rejection| self.refused.with_label_values(&[rejection.code()]).get());
        let callbacks: u64 = self.counted.iter().map(|counted| counted.load(Ordering::Relaxed)).sum();
        refused.sum::<u64>().saturating_sub(callbacks)
    }

    /// Shows why the lanes' heads wait, and how many journal entries were confirmed since the start.
    pub fn show_waiting(&self, heads: &BTreeMap<WaitReason, usize>, replayed: u64) {
        for reason in WaitReason::all() {
            let count = heads.get(&reason).copied().unwrap_or_default();
            self.waiting.with_label_values(&[reason.code()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.replayed.follow(replayed);
    }

    /// Shows the journal's usage. `now` is in milliseconds since 1970.
    pub fn show(&self, usage: &Usage, now: i64) {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.events.set(whole(usage.events));
        self.bytes.set(whole(usage.bytes));
        self.limit.set(whole(usage.limit));
        self.oldest.set(usage.oldest_received_at.map_or(0, |oldest| now.saturating_sub(oldest).max(0) / 1000));
        self.old_key.set(whole(usage.old_key));
        self.quarantine.set(whole(usage.quarantine));
        self.quarantine_bytes.set(whole(usage.quarantine_bytes));
        self.quarantine_limit.set(whole(usage.quarantine_limit));
        let counts = usage.quarantine_rejected.iter().zip(&self.counted);
        for (rejection, (total, counted)) in JournalRejection::ALL.into_iter().zip(counts) {
            // Two calls can run at the same time, and the older values can arrive last.
            let new = total.saturating_sub(counted.fetch_max(*total, Ordering::Relaxed));
            self.refused.with_label_values(&[rejection.code()]).inc_by(new);
        }
    }
}
