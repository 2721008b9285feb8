//! Inserts a new event into its lane: at the end, or by its event time during an outage.

use super::event::{Event, Publication, Stage};
use super::machine::Outbox;

/// How many waiting events of its lane a new event may pass. A higher limit would make inserting into a very long lane
/// slow.
const MAX_SORT_STEPS: usize = 4096;

impl<P: Publication, W> Outbox<P, W> {
    /// Inserts an event into its lane: at the end, or by its event time among events that wait for the end of an
    /// outage.
    pub(super) fn insert(&mut self, event: Event<P>) -> u32 {
        let (key, lane) = (event.key, event.lane);
        // Memory is exhausted long before four billion events.
        let slot = u32::try_from(self.events.insert(event)).unwrap_or(u32::MAX);
        let events = &self.events;
        self.index
            .insert_unique(key.hash(), slot, |slot| events.get(*slot as usize).map_or(0, |event| event.key.hash()));
        let old_head = self.lanes.head(lane);
        let is_head_ready =
            old_head.and_then(|head| self.events.get(head as usize)).is_some_and(|head| head.stage == Stage::Ready);
        // During an outage, requests arrive in any order.
        let sorts = !self.may_publish || is_head_ready || self.heads.is_closed(lane);
        let tail = self.lanes.tail(lane);
        let previous = if sorts { self.position_by_event_time(slot, tail) } else { tail };
        // Only the head of a lane is published; the events behind it wait for it.
        if self.lanes.insert_after(&mut self.events, lane, previous, slot) {
            if let Some(old_head) = old_head {
                self.deactivate(old_head);
                // The old head may have prevented the replay of other events. Some may fit now.
                self.replay();
            }
            self.activate(slot);
        }
        slot
    }

    /// Returns the event of its lane after which an event is inserted if events are sorted by time. Only events that
    /// were not produced yet are sorted. Events that were with the producer keep their position.
    fn position_by_event_time(&self, slot: u32, tail: Option<u32>) -> Option<u32> {
        let event = self.events.get(slot as usize)?;
        let is_closed = self.heads.is_closed(event.lane);
        let mut previous = tail;
        for _ in 0..MAX_SORT_STEPS {
            let Some(other) = previous.and_then(|previous| self.events.get(previous as usize)) else { break };
            let is_waiting = matches!(other.stage, Stage::Queued | Stage::Ready)
                || (is_closed && matches!(other.stage, Stage::BackingOff(_)));
            let unproduced = is_waiting && other.attempts == 0;
            if !unproduced || other.event_time <= event.event_time {
                break;
            }
            previous = other.previous;
        }
        previous
    }
}
