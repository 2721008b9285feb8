//! The outbox as a deterministic state machine: what may be produced, what must be written, who is to be answered what.
//!
//! Inputs go in (a delivery is admitted, a report arrives, a write is done, time passes), [`Command`]s come out. It must
//! never read a clock, wait, or do anything itself: that is what lets a simulation drive it through millions of orders
//! of events. Its parts: this file admits and answers, `placement` puts events into their lanes, `lane_heads` keeps the
//! heads that wait, `schedule` moves events to the producer and out, `replay` reads them back from the journal, and
//! `persistence` keeps the journal's side.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;

use super::dedup_cache::DedupCache;
use super::event::{Durability, Event, EventHandle, NewEvent, Publication};
use super::lanes::Lanes;
use super::memory_budget::MemoryBudget;
use super::replay_slots::ReplaySlots;
use super::requests::{DueAction, PendingRequests, RequestId, Resolution};
use super::schedule::bit;
use super::verdict::Verdict;
use super::waiting_heads::WaitingHeads;
use super::{CompletedRequest, EventKey, Millis, Seq};

/// What is to be done, in this order.
pub enum Command<P, W> {
    /// The records of the publication go to the producer, except those whose bits are set: the broker has confirmed them. Each
    /// brings one report.
    Produce(EventHandle, Arc<P>, u8),
    /// The publication is to be made durable under the handle's number; brings "written" or "refused".
    Write(EventHandle, Arc<P>),
    /// The journal no longer needs this entry.
    Delete(Seq),
    /// The entry's publication is to be read back; brings "loaded".
    Load(EventHandle),
    /// A delivery's verdicts are complete.
    Answer(CompletedRequest<W>),
}

/// What becomes of one event of a delivery at its admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It is new.
    New,
    /// It is on its way already.
    Joined,
    /// Its verdict is known.
    Known(Verdict),
}

/// How much the machine may hold in memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events whose publications are in memory. From half of it on new ones are written at once, and the memory lets go of
    /// what is written.
    pub events: usize,
    /// The bytes of these publications; likewise.
    pub bytes: usize,
    /// Events that are being replayed from the journal at a time: few, so that live ones need not queue behind them.
    pub replay: usize,
    /// The bytes of these events' publications. One that is larger than all of it is replayed alone.
    pub replay_bytes: usize,
}

/// When something must have happened with a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// What is not confirmed then is written, so that it is durable when the answer leaves.
    pub write: Millis,
    /// The answer leaves.
    pub answer: Millis,
}

/// The machine. `P` is what is published for an event, `W` whatever a driver needs to wake a waiting request.
pub struct Outbox<P, W> {
    pub(super) events: Slab<Event<P>>,
    /// Slots by the event's key.
    pub(super) index: HashTable<u32>,
    pub(super) lanes: Lanes,
    pub(super) requests: PendingRequests<W>,
    pub(super) dedup_cache: DedupCache,
    pub(super) heads: WaitingHeads,
    /// Writes under way, with the slot of the event; `None` if the event was resolved meanwhile.
    pub(super) writing: HashMap<Seq, Option<u32>>,
    pub(super) memory: MemoryBudget,
    pub(super) replay_slots: ReplaySlots,
    pub(super) next: Seq,
    /// Whether the broker is there, as far as is known.
    pub(super) connected: bool,
    /// Whether replays may begin: what stands in the topics already must be known before.
    pub(super) replay_enabled: bool,
    /// How many events were confirmed that had been read back from the journal.
    pub(super) replayed_total: u64,
    /// The time of the last input that had one.
    pub(super) clock: Millis,
    pub(super) commands: Vec<Command<P, W>>,
}

impl<P: Publication, W> Outbox<P, W> {
    /// An empty outbox. It takes the broker to be there, and replays nothing before [`Outbox::enable_replay`].
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            events: Slab::new(),
            index: HashTable::new(),
            lanes: Lanes::default(),
            requests: PendingRequests::new(),
            dedup_cache: DedupCache::new(),
            heads: WaitingHeads::default(),
            writing: HashMap::new(),
            memory: MemoryBudget::new(&limits),
            replay_slots: ReplaySlots::new(&limits),
            next: Seq(0),
            connected: true,
            replay_enabled: false,
            replayed_total: 0,
            clock: 0,
            commands: Vec::new(),
        }
    }

    /// Admits a request: `new_events` are its events to publish, each id once. Returns what becomes of each.
    pub fn admit(
        &mut self,
        new_events: impl IntoIterator<Item = NewEvent<P>>,
        waiter: W,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        let id = self.requests.next_id();
        let (mut resolutions, mut admitted) = (Vec::new(), Vec::new());
        let mut full = false;
        for (position, new_event) in (0..).zip(new_events) {
            let (resolution, what) = self.admit_one(new_event, (id, position), full);
            // Once an event found no room no later one of the delivery may pass it.
            full |= what == Admitted::Known(Verdict::Overloaded);
            resolutions.push(resolution);
            admitted.push(what);
        }
        let finished = self.requests.insert(waiter, resolutions, (deadlines.write, deadlines.answer));
        self.commands.extend(finished.map(Command::Answer));
        (id, admitted)
    }

    fn admit_one(&mut self, new_event: NewEvent<P>, waiter: (RequestId, u32), full: bool) -> (Resolution, Admitted) {
        if let Some(verdict) = self.dedup_cache.get(new_event.key) {
            return (Resolution::Resolved(verdict), Admitted::Known(verdict));
        }
        if let Some(slot) = self.slot(new_event.key) {
            return (self.join(slot, waiter, new_event.partition_unavailable), Admitted::Joined);
        }
        // The topics tell of the records of events, and not of dead letters. Published records are not published again.
        let is_event = new_event.publication.verdict() == Verdict::Confirmed;
        let confirmed = if is_event { self.dedup_cache.records(new_event.key) } else { 0 };
        if (0..new_event.publication.records().max(1)).all(|record| confirmed & bit(record) != 0) {
            let verdict = new_event.publication.verdict();
            self.dedup_cache.insert(new_event.key, verdict, self.clock);
            return (Resolution::Resolved(verdict), Admitted::Known(verdict));
        }
        let bytes = new_event.publication.bytes();
        if full || !self.memory.has_room(bytes) {
            return (Resolution::Resolved(Verdict::Overloaded), Admitted::Known(Verdict::Overloaded));
        }
        let (seq, NewEvent { key, lane, event_time, partition_unavailable, publication }) = (self.next, new_event);
        self.next = Seq(seq.0 + 1);
        self.memory.add(bytes);
        let slot = self.insert(Event {
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            partition_unavailable,
            publication: Some(Arc::new(publication)),
            waiters: vec![waiter],
            confirmed,
            ..Event::new(seq, key, lane, event_time)
        });
        if self.memory.is_half_full() || self.is_blocked(slot) {
            self.write(slot);
        }
        (Resolution::Open(EventHandle { seq, slot }), Admitted::New)
    }

    /// Lets a delivery wait for an event that is on its way, unless that could only be in vain.
    fn join(&mut self, slot: u32, waiter: (RequestId, u32), partition_unavailable: bool) -> Resolution {
        let Some(event) = self.events.get_mut(slot as usize) else { return Resolution::Resolved(Verdict::Overloaded) };
        event.partition_unavailable = partition_unavailable;
        let blocked = self.is_blocked(slot);
        let Some(event) = self.events.get_mut(slot as usize) else { return Resolution::Resolved(Verdict::Overloaded) };
        if event.durability == Durability::Synced && blocked {
            self.answer_if_durable(slot);
            return Resolution::Resolved(Verdict::NotConfirmed);
        }
        // Who has stopped waiting need not be kept in mind; who waits now stands in no list yet.
        event.waiters.retain(|(request, _)| self.requests.contains(*request) || *request == waiter.0);
        event.waiters.push(waiter);
        let handle = event.handle(slot);
        if blocked {
            self.write(slot);
        }
        Resolution::Open(handle)
    }

    /// Whether it is known that waiting for the broker's confirmation of this event is in vain, so that it is written to
    /// the journal at once, and answered as soon as it is durable.
    pub(super) fn is_blocked(&self, slot: u32) -> bool {
        let event = self.events.get(slot as usize);
        !self.connected || event.is_some_and(|event| event.partition_unavailable || self.heads.is_withheld(event.lane))
    }

    /// Forgets a delivery whose sender has hung up. Its events go on.
    pub fn cancel(&mut self, request: RequestId) {
        self.requests.remove(request);
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Millis) {
        self.clock = self.clock.max(now);
        while let Some(alarm) = self.requests.due(now) {
            match alarm {
                DueAction::Write(tokens) => tokens.into_iter().for_each(|handle| self.write_if_current(handle)),
                DueAction::Answer(request, open) => {
                    for (position, handle) in open {
                        let verdict = self.verdict_at_deadline(handle);
                        self.resolve_waiters([(request, position)], verdict);
                    }
                }
            }
        }
        self.replay_slots.release_slow(&mut self.events, now);
        self.retry(now);
    }

    /// The shutdown: everything is written at once, and answered at `deadline` at the latest.
    pub fn expire_deadlines(&mut self, deadline: Millis) {
        self.requests.expire_deadlines(deadline);
        self.write_all();
    }

    /// What is to be done since it was last asked.
    pub fn commands(&mut self) -> Vec<Command<P, W>> {
        std::mem::take(&mut self.commands)
    }

    fn verdict_at_deadline(&self, handle: EventHandle) -> Verdict {
        match self.at(handle).map(|event| event.durability) {
            Some(Durability::Synced) => Verdict::NotConfirmed,
            // Nothing holds it safely, so nothing is promised.
            Some(Durability::None | Durability::Pending | Durability::Rejected) | None => Verdict::Overloaded,
        }
    }

    /// Tells these waiters the verdict, and answers the requests that have all of theirs.
    pub(super) fn resolve_waiters(&mut self, waiters: impl IntoIterator<Item = (RequestId, u32)>, verdict: Verdict) {
        for (request, position) in waiters {
            let completed = self.requests.resolve(request, position, verdict);
            self.commands.extend(completed.map(Command::Answer));
        }
    }

    pub(super) fn slot(&self, key: EventKey) -> Option<u32> {
        let events = &self.events;
        self.index.find(key.hash(), |slot| events.get(*slot as usize).is_some_and(|event| event.key == key)).copied()
    }

    pub(super) fn at(&self, handle: EventHandle) -> Option<&Event<P>> {
        self.events.get(handle.slot as usize).filter(|event| event.seq == handle.seq)
    }
}

#[cfg(test)]
mod tests;
