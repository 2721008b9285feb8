//! The metrics of one application, each looked up once, because a callback touches a dozen of them. So what is counted
//! after the application's end is counted nowhere, and brings no series back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use idaas_callback::event_type::{Action, Entity};
use idaas_callback::{Drift, Reason, Refusal};
use outbox::verdict::{List, Verdict};
use prometheus::{Histogram, IntCounter};

use super::last_event::LastEvent;
use crate::keys::RefreshResult;

/// Nothing is known of the key endpoint's clock.
pub(super) const UNKNOWN_OFFSET: i64 = i64::MIN;

/// An application's counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Answered events, in the order of [`List::ALL`].
    pub lists: [u64; List::ALL.len()],
    /// Refused callbacks, in the order of [`Refusal::ALL`].
    pub refusals: [u64; Refusal::ALL.len()],
    /// Confirmed records, in the order of [`Entity::ALL`].
    pub published: [u64; Entity::ALL.len()],
    /// Callbacks that were decrypted, by the position of the key.
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
    /// From the first byte of a callback to its answer, in seconds.
    pub callback_duration: Histogram,
    pub(super) received: HashMap<(Entity, Action), IntCounter>,
    pub(super) answered: HashMap<Verdict, IntCounter>,
    pub(super) published: [IntCounter; Entity::ALL.len()],
    pub(super) dead_letters: HashMap<Reason, IntCounter>,
    /// Re-deliveries of events that were known.
    pub duplicates: IntCounter,
    pub(super) last_event: Arc<LastEvent>,
    /// In seconds; [`UNKNOWN_OFFSET`] before the first fetch from an endpoint that says its time.
    pub(super) clock_offset: Arc<AtomicI64>,
    pub(super) decryptions: Vec<IntCounter>,
    pub(super) jwks_refreshes: [(&'static str, IntCounter); RefreshResult::CODES.len()],
    pub(super) drift: [[IntCounter; Entity::ALL.len()]; 3],
}

impl ApplicationMetrics {
    /// The application's configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that is counted, as of now.
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

    /// When the last authentic callback came, in milliseconds since 1970. `None` if none has come.
    #[must_use]
    pub fn last_callback(&self) -> Option<i64> {
        self.last_event.last().map(|seconds| seconds.saturating_mul(1000))
    }

    /// A callback was answered, or refused.
    pub fn callback(&self, refusal: Option<Refusal>) {
        match refusal {
            None => self.answered_callbacks.inc(),
            Some(refusal) => inc(self.refused.get(&refusal)),
        }
    }

    /// An event came.
    pub fn received(&self, entity: Entity, action: Action) {
        inc(self.received.get(&(entity, action)));
    }

    /// An event was answered.
    pub fn answered(&self, verdict: Verdict) {
        inc(self.answered.get(&verdict));
    }

    /// A record was confirmed.
    pub fn published(&self, entity: Entity) {
        entity.pick(&self.published).inc();
    }

    /// A dead letter was confirmed.
    pub fn dead_letter(&self, reason: Reason) {
        inc(self.dead_letters.get(&reason));
    }

    /// A callback was opened with the key at this position.
    pub fn decrypted(&self, position: usize) {
        inc(self.decryptions.get(position));
    }

    /// The key set was fetched, or could not be.
    pub fn jwks_refreshed(&self, result: &str) {
        inc(self.jwks_refreshes.iter().find(|(code, _)| *code == result).map(|(_, counter)| counter));
    }

    /// This machine's clock is so many seconds ahead of the key endpoint's.
    pub fn clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// An authentic callback came, at this time in seconds since 1970.
    pub fn authentic(&self, now: i64) {
        self.last_event.came(now);
    }

    /// A record of this application that is in the topics was accepted at this time, in seconds since 1970. For what is
    /// read from the topics at the start: without it, each restart would hide how long an application has been silent.
    pub fn accepted_before(&self, time: i64) {
        self.last_event.came_at_least(time);
    }

    /// An event differed from what is documented.
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
