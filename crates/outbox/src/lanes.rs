//! The lanes: the events of one topic and key, in the order in which they were accepted. Only the head of a lane is
//! published; the events behind it wait for it.
//!
//! A lane is a linked list through the events themselves, so a million events that only the journal holds need no
//! further memory for lists. Lanes without events do not exist.

use std::collections::HashMap;

use super::LaneKey;
use super::event::Event;
use super::no_hash::Hashed;
use slab::Slab;

#[derive(Clone, Copy)]
struct Lane {
    head: u32,
    tail: u32,
}

/// All lanes that have events.
#[derive(Default)]
pub(super) struct Lanes(HashMap<LaneKey, Lane, Hashed>);

impl Lanes {
    /// Returns the first event of a lane.
    pub(super) fn head(&self, lane: LaneKey) -> Option<u32> {
        self.0.get(&lane).map(|ends| ends.head)
    }

    /// Inserts the event in `slot` after `previous` in its lane, or at the front if `previous` is `None`. Returns true
    /// if the event is the new head.
    pub(super) fn insert_after<P>(
        &mut self,
        events: &mut Slab<Event<P>>,
        lane: LaneKey,
        previous: Option<u32>,
        slot: u32,
    ) -> bool {
        let ends = self.0.entry(lane).or_insert(Lane { head: slot, tail: slot });
        let next = match previous.and_then(|previous| events.get_mut(previous as usize)) {
            Some(before) => before.next.replace(slot),
            None => Some(ends.head).filter(|head| *head != slot),
        };
        match next.and_then(|next| events.get_mut(next as usize)) {
            Some(after) => after.previous = Some(slot),
            None => ends.tail = slot,
        }
        if previous.is_none() {
            ends.head = slot;
        }
        if let Some(event) = events.get_mut(slot as usize) {
            (event.previous, event.next) = (previous, next);
        }
        previous.is_none()
    }

    /// Returns the last event of a lane.
    pub(super) fn tail(&self, lane: LaneKey) -> Option<u32> {
        self.0.get(&lane).map(|ends| ends.tail)
    }

    /// Removes an event, which is no longer among the `events`, from its lane. Returns the new head if the event was
    /// the head.
    pub(super) fn remove<P>(
        &mut self,
        events: &mut Slab<Event<P>>,
        lane: LaneKey,
        (previous, next): (Option<u32>, Option<u32>),
    ) -> Option<u32> {
        let ends = self.0.get_mut(&lane)?;
        if let Some(after) = next.and_then(|next| events.get_mut(next as usize)) {
            after.previous = previous;
        }
        match (previous.and_then(|previous| events.get_mut(previous as usize)), next) {
            (Some(before), _) => {
                before.next = next;
                if next.is_none() {
                    ends.tail = previous.unwrap_or(ends.tail);
                }
                None
            }
            (None, Some(next)) => {
                ends.head = next;
                Some(next)
            }
            (None, None) => {
                self.0.remove(&lane);
                None
            }
        }
    }

    /// Returns every lane with its first and its last slot.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (LaneKey, u32, u32)> {
        self.0.iter().map(|(lane, ends)| (*lane, ends.head, ends.tail))
    }
}
