//! The journal's part of the state machine: what is written, what is synced, and what was recovered at the start.

use super::event::{Durability, Event, EventHandle, Publication, Recovered};
use super::machine::{Command, Outbox};
use super::publishing::record_bit;
use super::verdict::Verdict;
use super::{DiscardOutcome, EventKey, FailureCode, Millis, Published, Seq};

impl<P: Publication, W> Outbox<P, W> {
    /// Adds the entries that were in the journal at the start, in order of acceptance, before any request is admitted.
    /// New events get sequence numbers from `next` on.
    pub fn recover(&mut self, entries: impl IntoIterator<Item = Recovered>, next: Seq) {
        for Recovered { seq, key, lane, event_time, bytes } in entries {
            // Two entries with the same key are the same event. The first keeps its position.
            if self.slot(key).is_some() {
                self.commands.push(Command::Delete(seq));
                continue;
            }
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.insert(Event { bytes, durability: Durability::Synced, ..Event::new(seq, key, lane, event_time) });
        }
        self.next = self.next.max(next);
    }

    /// Notes that records of an event are in the topics, published by another replica or by this one before a restart.
    pub fn mark_published(&mut self, key: EventKey, learned: Published, now: Millis) {
        self.clock = self.clock.max(now);
        let slot = self.slot(key);
        let event = slot.and_then(|slot| self.events.get_mut(slot as usize));
        match (learned, slot, event) {
            // The producer's own report will arrive and release the lane. It no longer decides the verdict.
            (Published::Whole(verdict), Some(_), Some(event)) if event.in_flight() => {
                event.published_verdict = Some(verdict)
            }
            (Published::Whole(verdict), Some(slot), Some(_)) => {
                self.resolve(slot, verdict, now);
                self.replay();
            }
            (Published::Whole(verdict), _, _) => self.dedup_cache.insert(key, verdict, now),
            (Published::Record(record), Some(_), Some(event)) => event.confirmed |= record_bit(record),
            (Published::Record(record), _, _) => self.dedup_cache.insert_record(key, record, now),
        }
    }

    /// Discards an event on an operator's order.
    pub fn discard(&mut self, key: EventKey) -> DiscardOutcome {
        let Some(slot) = self.slot(key) else { return DiscardOutcome::Unknown };
        let Some(event) = self.events.get(slot as usize) else { return DiscardOutcome::Unknown };
        if event.in_flight() {
            return DiscardOutcome::InFlight;
        }
        // Published records stay known, so that a redelivery adds only what is missing.
        let published = (0..=1).filter(|record| event.confirmed & record_bit(*record) != 0);
        published.for_each(|record| self.dedup_cache.insert_record(key, record, self.clock));
        self.resolve(slot, Verdict::Overloaded, self.clock);
        self.replay();
        DiscardOutcome::Discarded
    }

    /// Notes that entries are synced to disk.
    pub fn written(&mut self, entries: impl IntoIterator<Item = Seq>) {
        for seq in entries {
            match self.writing.remove(&seq) {
                Some(Some(slot)) => self.durable(slot),
                // The event was resolved while it was being written.
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

    /// Notes that a partition that these events wait for does not accept records. These events and the ones behind
    /// them in their lanes are written at once, and answered as soon as they are durable.
    pub fn partition_closed(&mut self, waiting: &[EventHandle]) {
        for handle in waiting {
            let mut next = self.at(*handle).map(|_| handle.slot);
            if let Some(lane) = self.at(*handle).map(|event| event.lane).filter(|_| self.coordinates_recoveries) {
                self.close_lane(lane, FailureCode::PartitionUnavailable);
            }
            while let Some(slot) = next {
                let Some(event) = self.events.get_mut(slot as usize) else { break };
                (event.obstacle, next) = (Some(FailureCode::PartitionUnavailable), event.next);
                self.answer_if_durable(slot);
                self.write(slot);
            }
        }
    }

    /// Answers for an event that is in the journal, if it is blocked.
    pub(super) fn answer_if_durable(&mut self, slot: u32) {
        let durable = self.events.get(slot as usize).is_some_and(|event| event.durability == Durability::Synced);
        if durable && self.is_blocked(slot) {
            self.resolve_with(slot, Verdict::NotConfirmed);
        }
    }

    /// Notes that entries could not be written. Their events stay where they are, because a delivery report still
    /// counts.
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

    /// Writes an event to the journal, unless it is already written or being written.
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

    /// Writes all events to the journal that are not in it, in the order of acceptance.
    pub(super) fn write_all(&mut self) {
        let not_durable =
            self.events.iter().filter(|(_, event)| matches!(event.durability, Durability::None | Durability::Rejected));
        let mut handles: Vec<_> =
            not_durable.filter_map(|(slot, event)| Some(event.handle(u32::try_from(slot).ok()?))).collect();
        handles.sort_unstable();
        handles.into_iter().for_each(|handle| self.write(handle.slot));
    }

    /// Answers for all events that are in the journal.
    pub(super) fn answer_durable(&mut self) {
        let synced =
            self.events.iter().filter(|(_, event)| event.durability == Durability::Synced && !event.waiters.is_empty());
        let slots: Vec<_> = synced.filter_map(|(slot, _)| u32::try_from(slot).ok()).collect();
        slots.into_iter().for_each(|slot| self.resolve_with(slot, Verdict::NotConfirmed));
    }

    /// Drops the publication of an event that is in the journal, even if the event is with the producer. Neither an
    /// outage nor a record that stays in the producer for two minutes may fill the memory.
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
        self.detach(slot);
    }

    /// Detaches the publication of an event from its request, which is answered or forgotten: from now on, no memory
    /// is reserved for the request.
    pub(super) fn detach(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        // The publication of an event that is in the journal is evicted.
        if event.durability == Durability::Synced {
            return;
        }
        if let Some(detached) = event.publication.as_ref().and_then(|publication| publication.detached()) {
            event.publication = Some(std::sync::Arc::new(detached));
        }
    }
}
