//! Checks the internal consistency of a machine.

use crate::Seq;
use crate::dedup_cache::Known;
use crate::event::{Durability, Event, Publication, ReplaySlot, Stage};
use crate::machine::Outbox;

type AuditResult = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> AuditResult {
    if holds { Ok(()) } else { Err(what()) }
}

impl<P: Publication, W> Outbox<P, W> {
    /// Checks everything.
    pub(super) fn audit(&self) -> AuditResult {
        self.audit_events()?;
        self.audit_detachment()?;
        self.audit_sums()?;
        self.audit_lanes()?;
        self.audit_requests()
    }

    fn audit_events(&self) -> AuditResult {
        ensure(self.index.len() == self.events.len(), || "the index has other events".to_owned())?;
        for (slot, event) in &self.events {
            let (slot, seq) = (slot as u32, event.seq);
            ensure(self.slot(event.key) == Some(slot), || format!("{seq:?} is not found by its key"))?;
            ensure(!matches!(self.dedup_cache.get(event.key), Some(Known::Verdict(_))), || {
                format!("{seq:?} has its verdict, and is still there")
            })?;
            self.audit_stage(slot, event)?;
            let safe = event.durability == Durability::Synced;
            ensure(event.publication.is_some() || safe, || format!("nothing holds {seq:?}"))?;
            ensure(event.publication.is_none() || !safe, || format!("{seq:?} is durable and still in memory"))?;
            let written = self.writing.get(&seq) == Some(&Some(slot));
            ensure(written == (event.durability == Durability::Pending), || {
                format!("{seq:?} is {:?}", event.durability)
            })?;
            ensure(seq < self.next, || format!("{seq:?} is not given out yet"))?;
        }
        let gone = |seq: &Seq, slot: &u32| self.events.get(*slot as usize).is_none_or(|event| event.seq != *seq);
        let lost = self.writing.iter().find(|(seq, slot)| slot.as_ref().is_some_and(|slot| gone(seq, slot)));
        ensure(lost.is_none(), || format!("{lost:?} is written without an event"))
    }

    /// Checks that no event keeps a request in memory that has ended.
    pub(super) fn audit_detachment(&self) -> AuditResult {
        for (_, event) in &self.events {
            let attached = event.publication.as_ref().is_some_and(|publication| publication.detached().is_some());
            let waits = event.waiters.iter().any(|(request, _)| self.requests.contains(*request));
            ensure(!attached || waits, || format!("{:?} keeps a request in memory that has ended", event.seq))?;
        }
        Ok(())
    }

    fn audit_stage(&self, slot: u32, event: &Event<P>) -> AuditResult {
        let (handle, here) = (event.handle(slot), event.publication.is_some());
        let replay = match event.stage {
            Stage::Queued | Stage::Ready | Stage::BackingOff(_) => event.replay == ReplaySlot::None,
            Stage::Loading => event.replay == ReplaySlot::Held && !here,
            Stage::InFlight { missing, .. } => missing > 0,
        };
        let failed = !matches!(event.stage, Stage::BackingOff(_)) || event.failure.is_some();
        let fits = replay && failed && self.heads.is_in_its_set(event, slot);
        ensure(fits, || format!("{handle:?} is {:?}, and is not", event.stage))
    }

    fn audit_sums(&self) -> AuditResult {
        let count = |what: fn(&Event<P>) -> bool| self.events.iter().filter(|(_, event)| what(event)).count();
        let ready = count(|event| event.stage == Stage::Ready);
        let backing_off = count(|event| matches!(event.stage, Stage::BackingOff(_)));
        let (with_payload, others, waiting_for_time) = self.heads.counts();
        let counted = (with_payload + others, waiting_for_time);
        ensure((ready, backing_off) == counted, || "a head waits that no longer exists".to_owned())?;
        ensure(with_payload == 0 || !self.may_publish, || "heads wait although the broker is available".to_owned())?;
        self.replay_slots.audit(&self.events)?;
        let first = self.heads.first_parked().and_then(|handle| self.at(handle));
        let room = first.is_some_and(|event| self.replay_slots.has_room(event.bytes as usize));
        let idle = self.may_publish && self.replay_enabled && self.replay_slots.is_worth_reading() && room;
        ensure(!idle, || "parked heads are not replayed".to_owned())?;
        let publications = self.events.iter().filter_map(|(_, event)| event.publication.as_ref());
        self.memory.audit(publications.map(|publication| publication.bytes()))
    }

    fn audit_lanes(&self) -> AuditResult {
        let mut seen = 0;
        for (lane, head, tail) in self.lanes.all() {
            let (mut slot, mut before, mut previous) = (Some(head), None, None);
            while let Some(here) = slot {
                let Some(event) = self.events.get(here as usize) else { return Err("a lane leads nowhere".to_owned()) };
                let seq = event.seq;
                ensure(event.lane == lane, || format!("{seq:?} is in the wrong lane"))?;
                ensure(event.previous == previous, || format!("{seq:?} does not know what is before it"))?;
                let moves = event.stage != Stage::Queued;
                ensure(moves == before.is_none(), || format!("{seq:?} is {:?} at its place", event.stage))?;
                ensure(event.next.is_some() || here == tail, || format!("a lane does not end at {seq:?}"))?;
                (slot, before, previous) = (event.next, Some(seq), Some(here));
                seen += 1;
            }
        }
        ensure(seen == self.events.len(), || format!("{seen} of {} events are in lanes", self.events.len()))
    }

    fn audit_requests(&self) -> AuditResult {
        for (id, position, handle) in self.requests.audit()? {
            let is_waiter = self.at(handle).is_some_and(|event| event.waiters.contains(&(id, position)));
            ensure(is_waiter, || format!("{handle:?} does not know that {id:?} waits for it"))?;
        }
        for (_, event) in &self.events {
            for (id, position) in &event.waiters {
                let Some(waits_for) = self.requests.event_at(*id, *position) else { continue };
                let is_this = waits_for.is_some_and(|handle| handle.seq == event.seq);
                ensure(is_this, || format!("{id:?} waits for another than {:?}", event.seq))?;
                let blocked = self.slot(event.key).is_some_and(|slot| self.is_blocked(slot));
                let soon = !blocked || event.durability == Durability::Pending;
                ensure(soon, || format!("{id:?} waits for the end of the outage with {:?}", event.seq))?;
            }
        }
        Ok(())
    }
}
