//! Queries of the replica coordination about the outbox.

use std::collections::{HashMap, HashSet};

use super::event::{Event, Publication};
use super::machine::Outbox;
use super::{LaneKey, Seq};

/// Number of failed attempts at its head after which a lane no longer counts as being published: about four seconds.
const STUCK_ATTEMPTS: u8 = 4;

impl<P: Publication, W> Outbox<P, W> {
    /// Returns the sequence number that the next event gets.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
        self.next
    }

    /// Returns true if the producer has an event without a delivery report: of these lanes, or of any if `lanes` is
    /// `None`.
    #[must_use]
    pub fn has_in_flight(&self, lanes: Option<&HashSet<LaneKey>>) -> bool {
        let mut events = self.events.iter().map(|(_, event)| event);
        events.any(|event| event.in_flight() && lanes.is_none_or(|lanes| lanes.contains(&event.lane)))
    }

    /// Returns true if the producer has an event of a lane that waits for the recovery of its partition.
    #[must_use]
    pub fn has_recovering_in_flight(&self) -> bool {
        self.heads.has_closed()
            && self.events.iter().any(|(_, event)| event.in_flight() && self.heads.is_closed(event.lane))
    }

    /// Counts the events that wait in lanes that are withheld, or for the recovery of their partition, by lane. Lanes
    /// whose head is with the producer do not count.
    #[must_use]
    pub fn withheld_by_lane(&self) -> HashMap<LaneKey, u32> {
        let backing_off = self.heads.backing_off().filter_map(|handle| self.at(handle));
        let is_held = |lane| self.heads.is_withheld(lane) || self.heads.is_closed(lane);
        let backing_off = backing_off.filter(|event| is_held(event.lane));
        let heads = self.heads.withheld().filter_map(|handle| self.at(handle)).chain(backing_off);
        let events = |head: &Event<P>| {
            let next = |slot: &u32| self.events.get(*slot as usize)?.next;
            u32::try_from(std::iter::successors(head.next, next).count()).unwrap_or(u32::MAX).saturating_add(1)
        };
        heads.map(|head| (head.lane, events(head))).collect()
    }

    /// Returns true if an event of these lanes that was accepted before `before` is not published yet. Lanes whose
    /// head fails repeatedly do not count.
    #[must_use]
    pub fn has_backlog(&self, lanes: &HashSet<LaneKey>, before: Seq) -> bool {
        let mut events = self.events.iter().map(|(_, event)| event);
        events.any(|event| event.seq < before && lanes.contains(&event.lane) && !self.is_stuck(event.lane))
    }

    fn is_stuck(&self, lane: LaneKey) -> bool {
        if self.heads.is_closed(lane) {
            return true;
        }
        let head = self.lanes.head(lane).and_then(|head| self.events.get(head as usize));
        head.is_some_and(|head| head.attempts >= STUCK_ATTEMPTS || self.waits_long(head))
    }
}
