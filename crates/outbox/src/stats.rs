//! Read access to the machine's state: for metrics, the shutdown, and tests.

use std::collections::{BTreeMap, HashMap};

use super::event::{Durability, Event, Publication};
use super::machine::Outbox;
use super::{FailureCode, LaneKey, Millis, WaitReason, WaitingHead};

impl<P> Event<P> {
    pub(super) fn waiting(&self, reason: WaitReason) -> WaitingHead {
        WaitingHead {
            key: self.key,
            seq: self.seq,
            reason,
            attempts: self.attempts,
            failing_since: self.failure.map(|_| Millis::from(self.failing_since) * 1000),
        }
    }
}

impl<P: Publication, W> Outbox<P, W> {
    /// Returns how many publications are in memory.
    #[must_use]
    pub const fn events_in_memory(&self) -> usize {
        self.memory.publications()
    }

    /// Returns how many events are unresolved.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.events.len()
    }

    /// Returns how many events that had been read back from the journal were confirmed so far.
    #[must_use]
    pub const fn replayed_total(&self) -> u64 {
        self.replayed_total
    }

    /// Counts the waiting lane heads by reason. Visits every head that has failed.
    #[must_use]
    pub fn waiting_heads_by_reason(&self) -> BTreeMap<WaitReason, usize> {
        let mut counts = BTreeMap::new();
        for head in self.waiting_heads_with_failure() {
            *counts.entry(head.reason).or_default() += 1;
        }
        let untried = self.heads.untried().count();
        let others =
            [(self.reason_without_failure(), untried), (WaitReason::OtherReplica, self.heads.withheld_count())];
        others.into_iter().filter(|(_, count)| *count > 0).for_each(|(reason, count)| {
            *counts.entry(reason).or_default() += count;
        });
        counts
    }

    /// Returns up to `limit` waiting lane heads, in the order of acceptance. Heads that have failed come first.
    #[must_use]
    pub fn waiting_heads(&self, limit: usize) -> Vec<WaitingHead> {
        let untried = self.heads.untried().map(|handle| (handle, self.reason_without_failure()));
        let withheld = self.heads.withheld().map(|handle| (handle, WaitReason::OtherReplica));
        let without_failure =
            untried.chain(withheld).filter_map(|(handle, reason)| Some(self.at(handle)?.waiting(reason)));
        self.waiting_heads_with_failure().chain(without_failure).take(limit).collect()
    }

    fn waiting_heads_with_failure(&self) -> impl Iterator<Item = WaitingHead> {
        let failed = self.heads.backing_off().chain(self.heads.parked_after_failure());
        failed.filter_map(|handle| {
            let event = self.at(handle)?;
            Some(event.waiting(event.failure.map_or(self.reason_without_failure(), WaitReason::Failed)))
        })
    }

    pub(super) const fn reason_without_failure(&self) -> WaitReason {
        match (self.may_publish, self.kafka_available) {
            (true, _) => WaitReason::ReplayPending,
            (false, true) => WaitReason::Failed(FailureCode::AskingReplicas),
            (false, false) => WaitReason::KafkaUnavailable,
        }
    }

    /// Counts the events that are not with the producer, by lane.
    #[must_use]
    pub fn waiting_by_lane(&self) -> HashMap<LaneKey, u32> {
        let mut lanes = HashMap::new();
        for (_, event) in self.events.iter().filter(|(_, event)| !event.in_flight()) {
            *lanes.entry(event.lane).or_default() += 1;
        }
        lanes
    }

    /// Returns how many events would be lost if the process ended now, because they are not in the journal, and how
    /// many writes are in progress.
    #[must_use]
    pub fn not_durable(&self) -> (usize, usize) {
        let not_durable = self.events.iter().filter(|(_, event)| event.durability != Durability::Synced).count();
        (not_durable, self.writing.len())
    }

    /// Returns true if events may be published: Kafka is available, and the other replicas have been asked.
    #[must_use]
    pub const fn may_publish(&self) -> bool {
        self.may_publish
    }

    /// Returns how many requests wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.requests.len()
    }
}
