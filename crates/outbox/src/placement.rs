//! Where a new event is placed in its lane: at the end, or by its event time during an outage.

use super::event::{Event, Parcel, Stage};
use super::machine::Outbox;

/// How many waiting events of its lane an event may pass: more would make a lane of very many events slow.
const MAX_SORT_STEPS: usize = 4096;

impl<P: Parcel, W> Outbox<P, W> {
    /// Puts an event into its lane: at the end, or by its time among events that wait for the end of an outage.
    pub(super) fn insert(&mut self, event: Event<P>) -> u32 {
        let (key, lane) = (event.key, event.lane);
        // Four thousand million events would not fit the memory.
        let slot = u32::try_from(self.events.insert(event)).unwrap_or(u32::MAX);
        let events = &self.events;
        self.index
            .insert_unique(key.hash(), slot, |slot| events.get(*slot as usize).map_or(0, |event| event.key.hash()));
        let previous = self.predecessor(slot);
        let old_head = self.lanes.head(lane);
        if self.lanes.insert_after(&mut self.events, lane, previous, slot) {
            if let Some(old_head) = old_head {
                self.deactivate(old_head);
                // What it kept from being replayed may fit now.
                self.replay();
            }
            self.activate(slot);
        }
        slot
    }

    /// Behind which event of its lane a new one is put. Deliveries during an outage arrive in any order, so what has not
    /// been produced yet is sorted by time; what the producer has seen keeps its place.
    fn predecessor(&self, slot: u32) -> Option<u32> {
        let event = self.events.get(slot as usize)?;
        let head = self.lanes.head(event.lane).and_then(|head| self.events.get(head as usize));
        let mut previous = self.lanes.tail(event.lane);
        if self.connected && head.is_none_or(|head| head.stage != Stage::Ready) {
            return previous;
        }
        for _ in 0..MAX_SORT_STEPS {
            let Some(other) = previous.and_then(|previous| self.events.get(previous as usize)) else { break };
            let unproduced = matches!(other.stage, Stage::Queued | Stage::Ready) && other.attempts == 0;
            if !unproduced || other.event_time <= event.event_time {
                break;
            }
            previous = other.previous;
        }
        previous
    }
}
