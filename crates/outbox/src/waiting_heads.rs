//! Lane heads that wait: for the broker, for the journal, for another replica, or for the end of a back-off.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::event::{Event, EventHandle, Stage};
use super::no_hash::Hashed;
use super::{FailureCode, LaneKey, Millis};

/// The heads of lanes that the producer does not have, each in one of four sets. The only place that changes the stages
/// [`Stage::Ready`] and [`Stage::BackingOff`].
#[derive(Default)]
pub(super) struct WaitingHeads {
    /// Their publications are in memory.
    ready: BTreeSet<EventHandle>,
    /// Only the journal has their publications; in the order of [`Event::replay_order`].
    parked: BTreeSet<(bool, EventHandle)>,
    /// Their lanes are in `withheld_lanes`.
    withheld: BTreeSet<EventHandle>,
    /// Lanes whose events another replica publishes first.
    withheld_lanes: HashSet<LaneKey, Hashed>,
    /// Lanes that wait until other replicas know which of their events wait here, each with the reason. Always empty
    /// without other replicas.
    closed_lanes: HashMap<LaneKey, FailureCode, Hashed>,
    /// They wait after a failure.
    backing_off: BTreeSet<(Millis, EventHandle)>,
}

/// Comes before every other handle.
const FIRST_HANDLE: EventHandle = EventHandle { seq: super::Seq(0), slot: 0 };

impl WaitingHeads {
    /// Returns true if another replica publishes the events of the lane first.
    pub(super) fn is_withheld(&self, lane: LaneKey) -> bool {
        self.withheld_lanes.contains(&lane)
    }

    /// Withholds these lanes and no others. Heads that wait stay where they are until they are inserted again.
    pub(super) fn withhold_lanes(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.withheld_lanes = lanes.into_iter().collect();
    }

    /// Returns true if the lane waits until its partition accepts records and the other replicas are asked.
    pub(super) fn is_closed(&self, lane: LaneKey) -> bool {
        self.closed_lanes.contains_key(&lane)
    }

    /// Returns why the lane is closed, if it is.
    pub(super) fn closed_because(&self, lane: LaneKey) -> Option<FailureCode> {
        self.closed_lanes.get(&lane).copied()
    }

    /// Returns true if any lane is closed.
    pub(super) fn has_closed(&self) -> bool {
        !self.closed_lanes.is_empty()
    }

    /// Closes a lane: it waits until its partition accepts records and the other replicas are asked. Its head stays
    /// where it is until it is activated again. Returns false if the lane is already closed; it has the new reason
    /// then.
    pub(super) fn close_lane(&mut self, lane: LaneKey, code: FailureCode) -> bool {
        self.closed_lanes.insert(lane, code).is_none()
    }

    /// Ends the wait of all closed lanes.
    pub(super) fn reopen_lanes(&mut self) {
        self.closed_lanes = HashMap::default();
    }

    /// Makes a head wait until it can be published or replayed.
    pub(super) fn insert<P>(&mut self, event: &mut Event<P>, slot: u32) {
        event.stage = Stage::Ready;
        if self.withheld_lanes.contains(&event.lane) {
            self.withheld.insert(event.handle(slot));
        } else if event.publication.is_some() {
            self.ready.insert(event.handle(slot));
        } else {
            self.parked.insert(event.replay_order(slot));
        }
    }

    /// Removes a waiting head, whatever it waits for.
    pub(super) fn remove<P>(&mut self, event: &mut Event<P>, slot: u32) {
        let (handle, replay_order) = (event.handle(slot), event.replay_order(slot));
        match event.stage {
            Stage::Ready => {
                let _ =
                    self.ready.remove(&handle) || self.parked.remove(&replay_order) || self.withheld.remove(&handle);
            }
            Stage::BackingOff(until) => drop(self.backing_off.remove(&(until, handle))),
            Stage::Queued | Stage::Loading | Stage::InFlight { .. } => return,
        }
        event.stage = Stage::Queued;
    }

    /// Makes a head wait until `until`.
    pub(super) fn back_off<P>(&mut self, event: &mut Event<P>, slot: u32, until: Millis) {
        event.stage = Stage::BackingOff(until);
        self.backing_off.insert((until, event.handle(slot)));
    }

    /// Removes and returns a head whose back-off is over.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<EventHandle> {
        self.backing_off.first().filter(|(until, _)| *until <= now)?;
        self.backing_off.pop_first().map(|(_, handle)| handle)
    }

    /// Removes and returns the heads that only wait for the broker.
    pub(super) fn take_ready(&mut self) -> BTreeSet<EventHandle> {
        std::mem::take(&mut self.ready)
    }

    /// Returns the head that is replayed next.
    pub(super) fn first_parked(&self) -> Option<EventHandle> {
        self.parked.first().map(|(_, handle)| *handle)
    }

    /// Removes and returns the head that is replayed next.
    pub(super) fn pop_parked(&mut self) -> Option<EventHandle> {
        self.parked.pop_first().map(|(_, handle)| handle)
    }

    /// Notes that only the journal has the publication of a head that may be ready.
    pub(super) fn payload_evicted<P>(&mut self, event: &Event<P>, slot: u32) {
        if self.ready.remove(&event.handle(slot)) {
            self.parked.insert(event.replay_order(slot));
        }
    }

    /// Returns all heads except those that back off.
    pub(super) fn without_back_off(&self) -> impl Iterator<Item = EventHandle> {
        self.parked.iter().map(|(_, handle)| handle).chain(&self.ready).chain(&self.withheld).copied()
    }

    /// Returns the heads that back off.
    pub(super) fn backing_off(&self) -> impl Iterator<Item = EventHandle> {
        self.backing_off.iter().map(|(_, handle)| *handle)
    }

    /// Returns the heads that wait to be replayed after a failed attempt.
    pub(super) fn parked_after_failure(&self) -> impl Iterator<Item = EventHandle> {
        self.parked.range((true, FIRST_HANDLE)..).map(|(_, handle)| *handle)
    }

    /// Returns the heads that have not been tried, in the order of acceptance within each set.
    pub(super) fn untried(&self) -> impl Iterator<Item = EventHandle> {
        self.parked.range(..(true, FIRST_HANDLE)).map(|(_, handle)| handle).chain(&self.ready).copied()
    }

    /// Returns the heads that wait for another replica.
    pub(super) fn withheld(&self) -> impl Iterator<Item = EventHandle> {
        self.withheld.iter().copied()
    }

    /// Returns the number of heads that wait for another replica.
    pub(super) fn withheld_count(&self) -> usize {
        self.withheld.len()
    }

    /// Returns true if the event is in the set that its stage requires.
    #[cfg(test)]
    pub(super) fn is_in_its_set<P>(&self, event: &Event<P>, slot: u32) -> bool {
        let handle = event.handle(slot);
        match event.stage {
            Stage::Ready if self.is_withheld(event.lane) => self.withheld.contains(&handle),
            Stage::Ready if event.publication.is_some() => self.ready.contains(&handle),
            Stage::Ready => self.parked.contains(&event.replay_order(slot)),
            Stage::BackingOff(until) => self.backing_off.contains(&(until, handle)),
            Stage::Queued | Stage::Loading | Stage::InFlight { .. } => true,
        }
    }

    /// Returns the numbers of heads that are ready, that wait otherwise except for a back-off, and that back off.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.ready.len(), self.parked.len() + self.withheld.len(), self.backing_off.len())
    }

    /// Removes a head as if its back-off had never been noted.
    #[cfg(test)]
    pub(super) fn forget_back_off(&mut self, handle: EventHandle, until: Millis) {
        self.backing_off.remove(&(until, handle));
    }

    /// Returns when the first back-off is over.
    #[cfg(test)]
    pub(super) fn next_retry(&self) -> Option<Millis> {
        self.backing_off.first().map(|(until, _)| *until)
    }
}
