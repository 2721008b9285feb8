//! The lanes: the events of one topic and key, in the order in which they were accepted.
//!
//! A lane is a chain through the events themselves, so a million that only the journal holds cost no lists. Lanes
//! without events do not exist.

use std::collections::HashMap;

use super::LaneKey;
use super::event::Event;
use super::hash::Hashed;
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
    /// Appends the event in `slot` to its lane. Says whether it is the head.
    pub(super) fn append<P>(&mut self, events: &mut Slab<Event<P>>, lane: LaneKey, slot: u32) -> bool {
        let Some(there) = self.0.get_mut(&lane) else {
            self.0.insert(lane, Lane { head: slot, tail: slot });
            return true;
        };
        if let Some(last) = events.get_mut(there.tail as usize) {
            last.next = Some(slot);
        }
        there.tail = slot;
        false
    }

    /// Takes the event in `slot`, whose next is `next`, out of its lane. Returns the new head where it was the head.
    pub(super) fn remove<P>(
        &mut self,
        events: &mut Slab<Event<P>>,
        lane: LaneKey,
        slot: u32,
        next: Option<u32>,
    ) -> Option<u32> {
        let there = self.0.get_mut(&lane)?;
        if there.head == slot {
            match next {
                Some(next) => there.head = next,
                None => drop(self.0.remove(&lane)),
            }
            return next;
        }
        // Rare: only what another replica has published is taken out of the middle.
        let mut before = there.head;
        while let Some(event) = events.get_mut(before as usize) {
            match event.next {
                Some(here) if here == slot => {
                    event.next = next;
                    if there.tail == slot {
                        there.tail = before;
                    }
                    return None;
                }
                Some(here) => before = here,
                None => return None,
            }
        }
        None
    }

    /// Every lane with its first and its last slot.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (LaneKey, u32, u32)> {
        self.0.iter().map(|(lane, ends)| (*lane, ends.head, ends.tail))
    }
}
