//! The journal's side of the machine: what is to be written, what has been, and what was found at the start.

use super::event::{Durability, Event, EventHandle, Publication, Recovered};
use super::machine::{Command, Outbox};
use super::schedule::bit;
use super::verdict::Verdict;
use super::{EventKey, Millis, Published, Seq};

impl<P: Publication, W> Outbox<P, W> {
    /// Takes over what the journal held at the start, in order of acceptance, before anything is admitted. New events
    /// get numbers from `next` on.
    pub fn recover(&mut self, entries: impl IntoIterator<Item = Recovered>, next: Seq) {
        for Recovered { seq, key, lane, event_time, bytes } in entries {
            // An event that stands in it twice is the same event; the first keeps its place.
            if self.slot(key).is_some() {
                self.commands.push(Command::Delete(seq));
                continue;
            }
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.insert(Event { bytes, durability: Durability::Synced, ..Event::new(seq, key, lane, event_time) });
        }
        self.next = self.next.max(next);
    }

    /// Takes the news that records of an event are in the topics: another replica has published them, or this one before
    /// a restart.
    pub fn mark_published(&mut self, key: EventKey, learned: Published, now: Millis) {
        self.clock = self.clock.max(now);
        let slot = self.slot(key);
        let event = slot.and_then(|slot| self.events.get_mut(slot as usize));
        match (learned, slot, event) {
            // The producer's own report is on its way, and frees the lane; what it says is then no longer decisive.
            (Published::Whole(verdict), Some(_), Some(event)) if event.in_flight() => {
                event.published_verdict = Some(verdict)
            }
            (Published::Whole(verdict), Some(slot), Some(_)) => {
                self.resolve(slot, verdict, now);
                self.replay();
            }
            (Published::Whole(verdict), _, _) => self.dedup_cache.insert(key, verdict, now),
            (Published::Record(record), Some(_), Some(event)) => event.confirmed |= bit(record),
            (Published::Record(record), _, _) => self.dedup_cache.insert_record(key, record, now),
        }
    }

    /// Gives an event up, because an operator has discarded its entry. Says whether there was one.
    pub fn discard(&mut self, key: EventKey) -> bool {
        let Some(slot) = self.slot(key) else { return false };
        let Some(event) = self.events.get(slot as usize).filter(|event| !event.in_flight()) else { return false };
        // What is in the topics stays known: a re-delivery adds what is missing, and repeats nothing.
        let published = (0..=1).filter(|record| event.confirmed & bit(*record) != 0);
        published.for_each(|record| self.dedup_cache.insert_record(key, record, self.clock));
        let waiters = self.remove(slot);
        self.resolve_waiters(waiters, Verdict::Overloaded);
        self.replay();
        true
    }

    /// Takes the news that entries are synced to the disk.
    pub fn written(&mut self, entries: impl IntoIterator<Item = Seq>) {
        for seq in entries {
            match self.writing.remove(&seq) {
                Some(Some(slot)) => self.durable(slot),
                // It was resolved while it was being written.
                Some(None) => self.commands.push(Command::Delete(seq)),
                None => {}
            }
        }
        self.replay();
    }

    fn durable(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        event.durability = Durability::Synced;
        self.answer_if_durable(slot);
        self.evict_payload(slot);
    }

    /// Takes the news that the partition takes no records for which these events wait: they and the events behind them in
    /// their lanes are written at once, and answered as soon as they are durable.
    pub fn partition_closed(&mut self, waiting: &[EventHandle]) {
        for handle in waiting {
            let mut next = self.at(*handle).map(|_| handle.slot);
            while let Some(slot) = next {
                let Some(event) = self.events.get_mut(slot as usize) else { break };
                (event.partition_unavailable, next) = (true, event.next);
                self.answer_if_durable(slot);
                self.write(slot);
            }
        }
    }

    /// Answers for an event that the journal has, if waiting for more is in vain.
    pub(super) fn answer_if_durable(&mut self, slot: u32) {
        let durable = self.events.get(slot as usize).is_some_and(|event| event.durability == Durability::Synced);
        if durable && self.is_blocked(slot) {
            self.resolve_with(slot, Verdict::NotConfirmed);
        }
    }

    /// Takes the news that entries could not be written. Their events stay where they are: a report still counts.
    pub fn rejected(&mut self, entries: impl IntoIterator<Item = Seq>) {
        for seq in entries {
            let slot = match self.writing.remove(&seq) {
                Some(Some(slot)) => slot,
                Some(None) => {
                    self.commands.push(Command::Delete(seq));
                    continue;
                }
                None => continue,
            };
            if let Some(event) = self.events.get_mut(slot as usize) {
                event.durability = Durability::Rejected;
            }
            if self.is_blocked(slot) {
                self.resolve_with(slot, Verdict::Overloaded);
            }
        }
    }

    pub(super) fn write_if_current(&mut self, handle: EventHandle) {
        if self.at(handle).is_some() {
            self.write(handle.slot);
        }
    }

    /// Has an event written, unless it is or is being so.
    pub(super) fn write(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        match (event.durability, &event.publication) {
            (Durability::None | Durability::Rejected, Some(publication)) => {
                event.durability = Durability::Pending;
                event.fallback_level = 0;
                self.writing.insert(event.seq, Some(slot));
                let publication = std::sync::Arc::clone(publication);
                self.commands.push(Command::Write(EventHandle { seq: event.seq, slot }, publication));
            }
            (Durability::None | Durability::Rejected, None) | (Durability::Pending | Durability::Synced, _) => {}
        }
    }

    /// Has everything written that is not, in the order of acceptance.
    pub(super) fn write_all(&mut self) {
        let exposed =
            self.events.iter().filter(|(_, event)| matches!(event.durability, Durability::None | Durability::Rejected));
        let mut tokens: Vec<_> =
            exposed.filter_map(|(slot, event)| Some(event.handle(u32::try_from(slot).ok()?))).collect();
        tokens.sort_unstable();
        tokens.into_iter().for_each(|handle| self.write(handle.slot));
    }

    /// Answers for everything that the journal has.
    pub(super) fn answer_durable(&mut self) {
        let kept =
            self.events.iter().filter(|(_, event)| event.durability == Durability::Synced && !event.waiters.is_empty());
        let slots: Vec<_> = kept.filter_map(|(slot, _)| u32::try_from(slot).ok()).collect();
        slots.into_iter().for_each(|slot| self.resolve_with(slot, Verdict::NotConfirmed));
    }

    /// Lets go of the publication of an event that the journal has, also where the producer has it: neither an outage nor a
    /// record's two minutes must fill the memory.
    pub(super) fn evict_payload(&mut self, slot: u32) {
        let Some(event) = self.events.get(slot as usize) else { return };
        if event.durability != Durability::Synced || event.publication.is_none() {
            return;
        }
        self.heads.payload_evicted(event, slot);
        self.drop_publication(slot);
    }

    fn resolve_with(&mut self, slot: u32, verdict: Verdict) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let waiters = std::mem::take(&mut event.waiters);
        self.resolve_waiters(waiters, verdict);
    }
}
