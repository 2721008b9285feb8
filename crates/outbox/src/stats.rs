//! What can be seen of the machine from outside: counts, for metrics, for the end of the process, and for whoever checks.

use std::collections::{BTreeMap, HashMap};

use super::event::{Durability, Event, Publication};
use super::machine::Outbox;
use super::{LaneKey, Millis, WaitReason, WaitingHead};

impl<P> Event<P> {
    fn waiting(&self, reason: WaitReason) -> WaitingHead {
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
    /// How many events have their publications in memory.
    #[must_use]
    pub const fn events_in_memory(&self) -> usize {
        self.memory.publications()
    }

    /// How many events are neither confirmed nor given back.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.events.len()
    }

    /// How many events were confirmed so far that had been read back from the journal.
    #[must_use]
    pub const fn replayed_total(&self) -> u64 {
        self.replayed_total
    }

    /// How many lane heads wait, by reason. Looks at every head that has failed.
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

    /// Up to `limit` lane heads that wait, in the order of acceptance; those that have failed first.
    #[must_use]
    pub fn waiting_heads(&self, limit: usize) -> Vec<WaitingHead> {
        let untried = self.heads.untried().map(|handle| (handle, self.reason_without_failure()));
        let withheld = self.heads.withheld().map(|handle| (handle, WaitReason::OtherReplica));
        let calm = untried.chain(withheld).filter_map(|(handle, reason)| Some(self.at(handle)?.waiting(reason)));
        self.waiting_heads_with_failure().chain(calm).take(limit).collect()
    }

    fn waiting_heads_with_failure(&self) -> impl Iterator<Item = WaitingHead> {
        let failed = self.heads.backing_off().chain(self.heads.parked_after_failure());
        failed.filter_map(|handle| {
            let event = self.at(handle)?;
            Some(event.waiting(event.failure.map_or(self.reason_without_failure(), WaitReason::Failed)))
        })
    }

    const fn reason_without_failure(&self) -> WaitReason {
        if self.connected { WaitReason::ReplayPending } else { WaitReason::KafkaUnavailable }
    }

    /// How many events wait in each lane, of those that the producer does not have.
    #[must_use]
    pub fn waiting_by_lane(&self) -> HashMap<LaneKey, u32> {
        let mut lanes = HashMap::new();
        for (_, event) in self.events.iter().filter(|(_, event)| !event.in_flight()) {
            *lanes.entry(event.lane).or_default() += 1;
        }
        lanes
    }

    /// How many events the end of the process would take along: those that the journal has not, and how many of them are
    /// being written.
    #[must_use]
    pub fn not_durable(&self) -> (usize, usize) {
        let exposed = self.events.iter().filter(|(_, event)| event.durability != Durability::Synced).count();
        (exposed, self.writing.len())
    }

    /// Whether the broker is there, as far as is known.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many deliveries wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }
}
