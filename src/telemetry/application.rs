//! The metrics of one application. Each is looked up once, because a callback updates a dozen of them. Updates after
//! the application was removed therefore do not recreate its series.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use idaas_callback::event_type::{Action, Entity};
use idaas_callback::{Drift, Reason, Refusal};
use outbox::verdict::{List, Verdict};
use prometheus::{Histogram, IntCounter};

use super::last_event::LastEvent;

/// The offset of the key endpoint's clock is unknown.
pub(super) const UNKNOWN_OFFSET: i64 = i64::MIN;

/// An application's counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Answered events, in the order of [`List::ALL`].
    pub lists: [u64; List::ALL.len()],
    /// Rejected callbacks, in the order of [`Refusal::ALL`].
    pub refusals: [u64; Refusal::ALL.len()],
    /// Confirmed records, in the order of [`Entity::ALL`].
    pub published: [u64; Entity::ALL.len()],
    /// Decrypted callbacks, by the position of the key.
    pub decryptions: Vec<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let (lists, refusals) = ([0; List::ALL.len()], [0; Refusal::ALL.len()]);
        Self { lists, refusals, published: [0; Entity::ALL.len()], decryptions: Vec::new() }
    }
}

/// One application's metrics.
pub struct ApplicationMetrics {
    pub(super) name: Box<str>,
    pub(super) answered_callbacks: IntCounter,
    pub(super) refused: HashMap<Refusal, IntCounter>,
    /// Time from the first byte of a callback to its answer, in seconds.
    pub callback_duration: Histogram,
    pub(super) received: HashMap<(Entity, Action), IntCounter>,
    pub(super) answered: HashMap<Verdict, IntCounter>,
    pub(super) published: [IntCounter; Entity::ALL.len()],
    pub(super) dead_letters: HashMap<Reason, IntCounter>,
    /// Redeliveries of known events.
    pub duplicates: IntCounter,
    pub(super) last_event: Arc<LastEvent>,
    /// Seconds; [`UNKNOWN_OFFSET`] before the first fetch from an endpoint that sends its time.
    pub(super) clock_offset: Arc<AtomicI64>,
    pub(super) decryptions: Vec<IntCounter>,
    /// Refreshes of the key set that ended with a usable set.
    pub jwks_refreshed: IntCounter,
    /// Refreshes of the key set that failed.
    pub jwks_refresh_failed: IntCounter,
    pub(super) drift: [[IntCounter; Entity::ALL.len()]; 3],
}

impl ApplicationMetrics {
    /// Returns the application's configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the current counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let verdicts = |list| Verdict::ALL.into_iter().filter(move |verdict| verdict.list() == list);
        let answered = |verdict| self.answered.get(&verdict).map_or(0, IntCounter::get);
        Counts {
            lists: List::ALL.map(|list| verdicts(list).map(answered).sum()),
            refusals: Refusal::ALL.map(|refusal| self.refused.get(&refusal).map_or(0, IntCounter::get)),
            published: self.published.each_ref().map(IntCounter::get),
            decryptions: self.decryptions.iter().map(IntCounter::get).collect(),
        }
    }

    /// Returns the time of the last authentic callback, in milliseconds since 1970. `None` if there was none.
    #[must_use]
    pub fn last_callback(&self) -> Option<i64> {
        self.last_event.last().map(|seconds| seconds.saturating_mul(1000))
    }

    /// Counts a callback that was answered or rejected.
    pub fn callback(&self, refusal: Option<Refusal>) {
        match refusal {
            None => self.answered_callbacks.inc(),
            Some(refusal) => inc(self.refused.get(&refusal)),
        }
    }

    /// Counts a received event.
    pub fn received(&self, entity: Entity, action: Action) {
        inc(self.received.get(&(entity, action)));
    }

    /// Counts an answered event.
    pub fn answered(&self, verdict: Verdict) {
        inc(self.answered.get(&verdict));
    }

    /// Counts a confirmed record.
    pub fn published(&self, entity: Entity) {
        entity.pick(&self.published).inc();
    }

    /// A dead letter was confirmed.
    pub fn dead_letter(&self, reason: Reason) {
        inc(self.dead_letters.get(&reason));
    }

    /// Counts a callback that was decrypted with the key at this position.
    pub fn decrypted(&self, position: usize) {
        inc(self.decryptions.get(position));
    }

    /// Sets by how many seconds this machine's clock is ahead of the key endpoint's.
    pub fn clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// Records the time of an authentic callback, in seconds since 1970.
    pub fn record_callback_time(&self, now: i64) {
        self.last_event.set(now);
    }

    /// Records the time of receipt of a record read from the topics, in seconds since 1970. Without it, each restart
    /// would hide how long an application has been silent.
    pub fn record_received_at(&self, time: i64) {
        self.last_event.set_at_least(time);
    }

    /// Counts an event's deviations from the documentation.
    pub fn drifted(&self, entity: Entity, drift: Drift) {
        let [unknown, malformed, conflicting] = &self.drift;
        for (family, count) in
            [(unknown, drift.unknown), (malformed, drift.malformed), (conflicting, drift.conflicting)]
        {
            if count > 0 {
                entity.pick(family).inc_by(u64::from(count));
            }
        }
    }
}

fn inc(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}
