//! Activates lane heads, and makes them wait.

use super::event::{EventHandle, Publication};
use super::machine::Outbox;
use super::{FailureCode, LaneKey};

impl<P: Publication, W> Outbox<P, W> {
    /// Hands the head of a lane to the producer, or makes it wait.
    pub(super) fn activate(&mut self, slot: u32) {
        let Some(event) = self.events.get(slot as usize) else { return };
        if let Some(code) = self.heads.closed_because(event.lane) {
            return self.fail_closed(slot, code, self.clock);
        }
        self.attempt(slot);
    }

    /// As [`Outbox::activate`], but also if the lane is closed: what has been with the producer is tried again, because
    /// only a record can show that the partition accepts records.
    pub(super) fn attempt(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.publication.is_some() && self.may_publish && !self.heads.is_withheld(event.lane) {
            return self.publish_head(slot);
        }
        self.heads.insert(event, slot);
    }

    /// Removes a waiting head from the set that it waits in.
    pub(super) fn deactivate(&mut self, slot: u32) {
        if let Some(event) = self.events.get_mut(slot as usize) {
            self.heads.remove(event, slot);
        }
    }

    /// Withholds these lanes, because another replica publishes their events first. Lanes that were withheld before
    /// and are not among them continue. Events that are with the producer stay there.
    pub fn hold_lanes(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.heads.withhold_lanes(lanes);
        let waiting: Vec<_> = self.heads.without_back_off().collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        let withheld = self.events.iter().filter(|(_, event)| self.heads.is_withheld(event.lane));
        let withheld: Vec<_> = withheld.filter_map(|(slot, _)| u32::try_from(slot).ok()).collect();
        for slot in withheld {
            self.answer_if_durable(slot);
            self.write(slot);
        }
        self.replay();
    }

    /// Makes a lane wait until its partition accepts records and the other replicas are asked. Its events are written
    /// at once, and answered as soon as they are durable. `code` is the reason that operators see.
    pub(super) fn close_lane(&mut self, lane: LaneKey, code: FailureCode) {
        let mut next = if self.heads.close_lane(lane, code) { self.lanes.head(lane) } else { None };
        while let Some(slot) = next {
            self.answer_if_durable(slot);
            self.write(slot);
            next = self.events.get(slot as usize).and_then(|event| event.next);
        }
    }

    /// Sets whether other replicas have to be asked before events are published that waited for a partition.
    pub fn coordinate_recoveries(&mut self, coordinate: bool) {
        if std::mem::replace(&mut self.coordinates_recoveries, coordinate) == coordinate {
            return;
        }
        if coordinate {
            let waiting = self.heads.backing_off().filter_map(|handle| self.at(handle));
            let waiting = waiting.filter(|event| self.waits_long(event));
            let failed = waiting.filter_map(|event| Some((event.lane, event.failure?)));
            // What the end of a partition's outage does not help would stay closed after it.
            let lanes: Vec<_> = failed.filter(|(_, code)| code.ends_with_recovery()).collect();
            lanes.into_iter().for_each(|(lane, code)| self.close_lane(lane, code));
        } else if self.heads.has_closed() {
            self.release_closed_lanes();
        }
    }

    /// Returns true if other replicas have to be asked before events are published that waited for a partition.
    #[must_use]
    pub const fn coordinates_recoveries(&self) -> bool {
        self.coordinates_recoveries
    }

    /// Notes that a partition accepts records again. Returns true if other replicas have to be asked first. The lanes
    /// wait for [`Outbox::release_closed_lanes`] then.
    #[must_use]
    pub fn partitions_available(&mut self) -> bool {
        if self.coordinates_recoveries && self.heads.has_closed() {
            return true;
        }
        self.release_closed_lanes();
        false
    }

    /// Retries heads that wait because their partition did not accept records.
    pub fn release_closed_lanes(&mut self) {
        self.heads.reopen_lanes();
        let is_recovered = |handle: &EventHandle| {
            self.at(*handle).and_then(|event| event.failure).is_some_and(FailureCode::ends_with_recovery)
        };
        let waiting: Vec<_> = self.heads.backing_off().filter(is_recovered).collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        self.replay();
    }
}
