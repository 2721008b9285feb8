//! Limits how many events are replayed from the journal at a time.

use std::collections::VecDeque;

use slab::Slab;

use super::Millis;
use super::event::{Event, EventHandle, ReplaySlot};
use super::machine::Limits;

/// Time after which a replayed event releases its slot, in milliseconds.
const RELEASE_AFTER: Millis = 2_000;

/// Maximum number of such events, as a multiple of the replay limit. Their records are with the producer.
const MAX_RELEASED: usize = 8;

/// Counts the events that are on their way from the journal to the producer. The only place that changes
/// [`Event::replay`].
pub(super) struct ReplaySlots {
    held: usize,
    held_bytes: usize,
    /// Slow events that no longer occupy a slot.
    released: usize,
    /// Events that were handed to the producer, with the time, oldest first.
    handed_over: VecDeque<(Millis, EventHandle)>,
    max: usize,
    max_bytes: usize,
}

impl ReplaySlots {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            held: 0,
            held_bytes: 0,
            released: 0,
            handed_over: VecDeque::new(),
            max: limits.replay,
            max_bytes: limits.replay_bytes,
        }
    }

    /// Returns true if enough slots are free to read from the journal again. Reading a hundred entries takes as long
    /// as reading a few.
    pub(super) const fn is_worth_reading(&self) -> bool {
        self.held <= self.max - self.max / 4
    }

    /// Returns true if an event of that size can be replayed now. An event that exceeds the limit is replayed alone.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.held < self.max && (self.held == 0 || self.held_bytes + bytes <= self.max_bytes)
    }

    /// Gives the event a slot.
    pub(super) const fn take<P>(&mut self, event: &mut Event<P>) {
        event.replay = ReplaySlot::Held;
        self.held += 1;
        self.held_bytes += event.bytes as usize;
    }

    /// Takes the event's slot back, if it has one.
    pub(super) const fn give_back<P>(&mut self, event: &mut Event<P>) {
        match std::mem::replace(&mut event.replay, ReplaySlot::None) {
            ReplaySlot::None => {}
            ReplaySlot::Held => {
                self.held -= 1;
                self.held_bytes -= event.bytes as usize;
            }
            ReplaySlot::Released => self.released -= 1,
        }
    }

    /// Notes when an event that has a slot was handed to the producer.
    pub(super) fn handed_over(&mut self, handle: EventHandle, now: Millis) {
        self.handed_over.push_back((now, handle));
    }

    /// Releases the slots of events that have been with the producer for too long: thousands of records for one
    /// partition without a leader must not delay events of other partitions.
    pub(super) fn release_slow<P>(&mut self, events: &mut Slab<Event<P>>, now: Millis) {
        while let Some((since, handle)) = self.handed_over.front().copied() {
            let event = events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq);
            // An event that was rejected and is being read again does not wait for the broker.
            if let Some(event) = event.filter(|event| event.replay == ReplaySlot::Held && event.in_flight()) {
                if since + RELEASE_AFTER > now || self.released >= self.max * MAX_RELEASED {
                    return;
                }
                self.give_back(event);
                event.replay = ReplaySlot::Released;
                self.released += 1;
            }
            self.handed_over.pop_front();
        }
    }

    /// Compares the counts with the events. Returns what is wrong.
    #[cfg(test)]
    pub(super) fn audit<P>(&self, events: &Slab<Event<P>>) -> Result<(), String> {
        let with = |slot| events.iter().map(|(_, event)| event).filter(move |event| event.replay == slot);
        let bytes: usize = with(ReplaySlot::Held).map(|event| event.bytes as usize).sum();
        let counted = (with(ReplaySlot::Held).count(), bytes, with(ReplaySlot::Released).count());
        if counted != (self.held, self.held_bytes, self.released) {
            return Err(format!("{counted:?} are replayed, not {:?}", (self.held, self.held_bytes, self.released)));
        }
        if self.held > self.max || (bytes > self.max_bytes && self.held > 1) {
            return Err(format!("{counted:?} are replayed at a time"));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn set_max_bytes(&mut self, bytes: usize) {
        self.max_bytes = bytes;
    }
}
