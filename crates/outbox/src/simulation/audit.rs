//! Checks the internal consistency of a machine.

use crate::Seq;
use crate::event::{Durability, Event, Publication, ReplaySlot, Stage};
use crate::machine::Outbox;
use crate::requests::Resolution;

type Finding = Result<(), String>;

fn hold(holds: bool, what: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err(what()) }
}

impl<P: Publication, W> Outbox<P, W> {
    /// Checks everything.
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
        let replay = match event.stage {
            Stage::Queued | Stage::Ready | Stage::BackingOff(_) => event.replay == ReplaySlot::None,
            Stage::Loading => event.replay == ReplaySlot::Held && !here,
            Stage::InFlight { missing, .. } => missing > 0,
        };
        let failed = !matches!(event.stage, Stage::BackingOff(_)) || event.failure.is_some();
        let fits = replay && failed && self.heads.is_in_its_set(event, slot);
        hold(fits, || format!("{handle:?} is {:?}, and is not", event.stage))
    }

    fn audit_sums(&self) -> Finding {
        let count = |what: fn(&Event<P>) -> bool| self.events.iter().filter(|(_, event)| what(event)).count();
        let ready = count(|event| event.stage == Stage::Ready);
        let backing_off = count(|event| matches!(event.stage, Stage::BackingOff(_)));
        let (with_payload, others, waiting_for_time) = self.heads.counts();
        let counted = (with_payload + others, waiting_for_time);
        hold((ready, backing_off) == counted, || "somebody waits who is gone".to_owned())?;
        hold(with_payload == 0 || !self.connected, || "heads wait, and the broker is there".to_owned())?;
        self.replay_slots.audit(&self.events)?;
        let first = self.heads.first_parked().and_then(|handle| self.at(handle));
        let room = first.is_some_and(|event| self.replay_slots.has_room(event.bytes as usize));
        let idle = self.connected && self.replay_enabled && self.replay_slots.is_worth_reading() && room;
        hold(!idle, || "nobody replays what is parked".to_owned())?;
        let publications = self.events.iter().filter_map(|(_, event)| event.publication.as_ref());
        self.memory.audit(publications.map(|publication| publication.bytes()))
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
