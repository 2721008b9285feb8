//! Whether a machine's books agree with one another.

use crate::Seq;
use crate::event::{Durability, Event, Publication, ReplaySlot, Stage};
use crate::machine::Outbox;
use crate::requests::Resolution;

type Finding = Result<(), String>;

fn hold(holds: bool, what: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err(what()) }
}

impl<P: Publication, W> Outbox<P, W> {
    /// Looks through everything.
    pub(super) fn audit(&self) -> Finding {
        self.audit_events()?;
        self.audit_sums()?;
        self.audit_lanes()?;
        self.audit_deliveries()
    }

    fn audit_events(&self) -> Finding {
        hold(self.index.len() == self.events.len(), || "the index has other events".to_owned())?;
        for (slot, event) in &self.events {
            let (slot, seq) = (slot as u32, event.seq);
            hold(self.slot(event.key) == Some(slot), || format!("{seq:?} is not found by its key"))?;
            hold(self.dedup_cache.get(event.key).is_none(), || format!("{seq:?} has its verdict, and is still there"))?;
            self.audit_stage(slot, event)?;
            let safe = event.durability == Durability::Synced;
            hold(event.publication.is_some() || safe, || format!("nothing holds {seq:?}"))?;
            hold(event.publication.is_none() || !safe, || format!("{seq:?} fills the memory for nothing"))?;
            let written = self.writing.get(&seq) == Some(&Some(slot));
            hold(written == (event.durability == Durability::Pending), || {
                format!("{seq:?} is {:?}", event.durability)
            })?;
            hold(seq < self.next, || format!("{seq:?} is not given out yet"))?;
        }
        let gone = |seq: &Seq, slot: &u32| self.events.get(*slot as usize).is_none_or(|event| event.seq != *seq);
        let lost = self.writing.iter().find(|(seq, slot)| slot.as_ref().is_some_and(|slot| gone(seq, slot)));
        hold(lost.is_none(), || format!("{lost:?} is written for nobody"))
    }

    fn audit_stage(&self, slot: u32, event: &Event<P>) -> Finding {
        let (handle, here) = (event.handle(slot), event.publication.is_some());
        let fits = match event.stage {
            Stage::Queued => event.replay == ReplaySlot::None,
            Stage::Ready if self.held_lanes.contains(&event.lane) => {
                self.held_heads.contains(&handle) && event.replay == ReplaySlot::None
            }
            Stage::Ready if here => self.ready.contains(&handle) && event.replay == ReplaySlot::None,
            Stage::Ready => self.parked.contains(&event.replay_order(slot)) && event.replay == ReplaySlot::None,
            Stage::BackingOff(until) => {
                self.backing_off.contains(&(until, handle))
                    && event.replay == ReplaySlot::None
                    && event.failure.is_some()
            }
            Stage::Loading => event.replay == ReplaySlot::Held && !here,
            Stage::InFlight { missing, .. } => missing > 0,
        };
        hold(fits, || format!("{handle:?} is {:?}, and is not", event.stage))
    }

    fn audit_sums(&self) -> Finding {
        let count = |what: fn(&Event<P>) -> bool| self.events.iter().filter(|(_, event)| what(event)).count();
        let ready = count(|event| event.stage == Stage::Ready);
        let backing_off = count(|event| matches!(event.stage, Stage::BackingOff(_)));
        let there = (self.ready.len() + self.parked.len() + self.held_heads.len(), self.backing_off.len());
        hold((ready, backing_off) == there, || "somebody waits who is gone".to_owned())?;
        hold(self.ready.is_empty() || !self.connected, || "heads wait, and the broker is there".to_owned())?;
        let slow = count(|event| event.replay == ReplaySlot::Released);
        hold(slow == self.slow_replays, || format!("{slow} replays are slow, not {}", self.slow_replays))?;
        let replaying = count(|event| event.replay == ReplaySlot::Held);
        hold(replaying == self.replaying, || format!("{replaying} are replayed, not {}", self.replaying))?;
        hold(replaying <= self.limits.replay, || format!("{replaying} are replayed at a time"))?;
        let counted = self.events.iter().filter(|(_, event)| event.replay == ReplaySlot::Held);
        let bytes: usize = counted.map(|(_, event)| event.bytes as usize).sum();
        hold(bytes == self.replaying_bytes, || format!("{bytes} bytes are replayed, not {}", self.replaying_bytes))?;
        let fits = bytes <= self.limits.replay_bytes || replaying == 1;
        hold(fits, || format!("{bytes} bytes are replayed at a time"))?;
        let few = replaying < self.limits.replay && replaying <= self.limits.replay - self.limits.replay / 4;
        let first =
            self.parked.first().and_then(|(_, handle)| self.at(*handle)).map_or(0, |event| event.bytes as usize);
        let room = replaying == 0 || bytes + first <= self.limits.replay_bytes;
        let idle = self.connected && self.replay_enabled && few && room;
        hold(self.parked.is_empty() || !idle, || "nobody replays what is parked".to_owned())?;
        let held = count(|event| event.publication.is_some());
        hold(held == self.events_in_memory, || format!("{held} are held, not {}", self.events_in_memory))?;
        let bytes: usize =
            self.events.iter().filter_map(|(_, event)| event.publication.as_ref()).map(|p| p.bytes()).sum();
        hold(bytes == self.bytes_in_memory, || format!("{bytes} bytes are held, not {}", self.bytes_in_memory))?;
        let fits = held <= self.limits.events && bytes <= self.limits.bytes;
        hold(fits, || format!("{held} events and {bytes} bytes are too many"))
    }

    fn audit_lanes(&self) -> Finding {
        let mut seen = 0;
        for (lane, head, tail) in self.lanes.all() {
            let (mut slot, mut before, mut previous) = (Some(head), None, None);
            while let Some(here) = slot {
                let Some(event) = self.events.get(here as usize) else { return Err("a lane leads nowhere".to_owned()) };
                let seq = event.seq;
                hold(event.lane == lane, || format!("{seq:?} is in a foreign lane"))?;
                hold(event.previous == previous, || format!("{seq:?} does not know what is before it"))?;
                let moves = event.stage != Stage::Queued;
                hold(moves == before.is_none(), || format!("{seq:?} is {:?} at its place", event.stage))?;
                hold(event.next.is_some() || here == tail, || format!("a lane does not end at {seq:?}"))?;
                (slot, before, previous) = (event.next, Some(seq), Some(here));
                seen += 1;
            }
        }
        hold(seen == self.events.len(), || format!("{seen} of {} events are in lanes", self.events.len()))
    }

    fn audit_deliveries(&self) -> Finding {
        let (waiting, alarms) = (&self.requests.waiting, &self.requests.due_times);
        hold(alarms.len() == waiting.len(), || "alarms are missing".to_owned())?;
        for (id, delivery) in waiting {
            hold(alarms.contains(&(delivery.next_due(), *id)), || format!("{id:?} has no alarm"))?;
            let open = delivery.open();
            hold(open.len() == delivery.open && !open.is_empty(), || format!("{id:?} waits for nothing"))?;
            for (position, handle) in open {
                let told = self.at(handle).is_some_and(|event| event.waiters.contains(&(*id, position)));
                hold(told, || format!("{id:?} is not told of {handle:?}"))?;
            }
        }
        for (_, event) in &self.events {
            for (id, position) in &event.waiters {
                let Some(delivery) = waiting.get(id) else { continue };
                let open = matches!(delivery.resolutions.get(*position as usize), Some(Resolution::Open(handle)) if handle.seq == event.seq);
                hold(open, || format!("{id:?} waits for another than {:?}", event.seq))?;
                let blocked = self.slot(event.key).is_some_and(|slot| self.is_blocked(slot));
                let soon = !blocked || event.durability == Durability::Pending;
                hold(soon, || format!("{id:?} waits for the end of the outage with {:?}", event.seq))?;
            }
        }
        Ok(())
    }
}
