//! The outbox as a deterministic state machine: decides what to publish, persist and answer.
//!
//! Inputs go in (a request is admitted, a report arrives, a write completes, time passes), [`Command`]s come out. The
//! machine must never read a clock, wait, or do I/O, so that a simulation can drive it through millions of orders of
//! events. This file admits events and answers requests. `placement` inserts events into their lanes, `lane_heads`
//! activates lane heads, `publishing` moves events to the producer and resolves them, `replay` reads events back from
//! the journal, and `persistence` writes them to it.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;

use super::dedup_cache::{DedupCache, Known};
use super::event::{Durability, Event, EventHandle, NewEvent, Publication};
use super::lanes::Lanes;
use super::memory_budget::MemoryBudget;
use super::publishing::record_bit;
use super::replay_slots::ReplaySlots;
use super::requests::{DueAction, PendingRequests, RequestId, Resolution};
use super::verdict::Verdict;
use super::waiting_heads::WaitingHeads;
use super::{CompletedRequest, EventKey, FailureCode, Millis, Seq};

/// An action for the driver. Commands are executed in order.
pub enum Command<P, W> {
    /// Hand the records of the publication to the producer, except those whose bits are set, which the broker has
    /// already confirmed. Each record gets one report.
    Produce(EventHandle, Arc<P>, u8),
    /// Write the publication to the journal under the handle's sequence number. Answered by [`Outbox::written`] or
    /// [`Outbox::rejected`].
    Write(EventHandle, Arc<P>),
    /// Delete this entry from the journal.
    Delete(Seq),
    /// Do not write this entry any more, if that has not begun. Changes nothing about the answer to
    /// [`Command::Write`]; an entry that is not written for this reason counts as written.
    Cancel(Seq),
    /// Read the event's publication back from the journal. Answered by [`Outbox::loaded`].
    Load(EventHandle),
    /// Answer a request, whose verdicts are complete.
    Answer(CompletedRequest<W>),
}

/// The result of admitting one event of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The event is new.
    New,
    /// The event is already in progress; the request waits for it too.
    Joined,
    /// The verdict is already known.
    Known(Verdict),
}

/// Limits of the machine's memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of publications in memory. Above half of it, new events are written to the journal at once, and
    /// written publications leave the memory.
    pub events: usize,
    /// Maximum size of these publications, in bytes. Above half of it, the same happens.
    pub bytes: usize,
    /// Maximum number of events that are replayed from the journal at a time. It is small, so that live events do not
    /// queue behind them.
    pub replay: usize,
    /// Maximum size of the publications of these events, in bytes. A publication that exceeds it is replayed alone.
    pub replay_bytes: usize,
}

/// The deadlines of a request.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// When unconfirmed events are written, so that they are durable when the answer is sent.
    pub write: Millis,
    /// When the answer is sent.
    pub answer: Millis,
}

/// The state machine. `P` is the publication of an event, `W` is what a driver needs to wake a waiting request.
pub struct Outbox<P, W> {
    pub(super) events: Slab<Event<P>>,
    /// Slots by event key.
    pub(super) index: HashTable<u32>,
    pub(super) lanes: Lanes,
    pub(super) requests: PendingRequests<W>,
    pub(super) dedup_cache: DedupCache,
    pub(super) heads: WaitingHeads,
    /// Writes in progress, with the slot of the event. `None` if the event was resolved in the meantime.
    pub(super) writing: HashMap<Seq, Option<u32>>,
    pub(super) memory: MemoryBudget,
    pub(super) replay_slots: ReplaySlots,
    pub(super) next: Seq,
    /// True if Kafka is available. Used only to say why events wait.
    pub(super) kafka_available: bool,
    /// True if events may be published: Kafka is available, and the other replicas have been asked.
    pub(super) may_publish: bool,
    /// True if other replicas must be asked before events that waited for a partition are published.
    pub(super) coordinates_recoveries: bool,
    /// True if replay may begin. Before that, the driver must know which events are already in the topics.
    pub(super) replay_enabled: bool,
    /// Number of confirmed events that had been read back from the journal.
    pub(super) replayed_total: u64,
    /// The time of the last input that carried one.
    pub(super) clock: Millis,
    pub(super) commands: Vec<Command<P, W>>,
}

impl<P: Publication, W> Outbox<P, W> {
    /// Creates an empty outbox. New events may be published, but nothing is replayed before [`Outbox::enable_replay`].
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
            kafka_available: true,
            may_publish: true,
            coordinates_recoveries: false,
            replay_enabled: false,
            replayed_total: 0,
            clock: 0,
            commands: Vec::new(),
        }
    }

    /// Admits a request. `new_events` are its events to publish, each id once. Returns the result for each.
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
            let (resolution, result) = self.admit_one(new_event, (id, position), full);
            // If an event is rejected because memory is full, no later event of the request may pass it.
            full |= result == Admitted::Known(Verdict::Overloaded);
            resolutions.push(resolution);
            admitted.push(result);
        }
        let completed = self.requests.insert(waiter, resolutions, (deadlines.write, deadlines.answer));
        self.commands.extend(completed.map(Command::Answer));
        (id, admitted)
    }

    fn admit_one(&mut self, new_event: NewEvent<P>, waiter: (RequestId, u32), full: bool) -> (Resolution, Admitted) {
        let published = match self.dedup_cache.get(new_event.key) {
            Some(Known::Verdict(verdict)) => return (Resolution::Resolved(verdict), Admitted::Known(verdict)),
            Some(Known::Records(records)) => records,
            None => 0,
        };
        if let Some(slot) = self.slot(new_event.key) {
            return (self.join(slot, waiter, new_event.obstacle), Admitted::Joined);
        }
        // The topics show which records of an event are published, but not which dead letters. Published records are
        // not published again.
        let is_event = new_event.publication.verdict() == Verdict::Confirmed;
        let confirmed = if is_event { published } else { 0 };
        if (0..new_event.publication.records().max(1)).all(|record| confirmed & record_bit(record) != 0) {
            let verdict = new_event.publication.verdict();
            self.dedup_cache.insert(new_event.key, verdict, self.clock);
            return (Resolution::Resolved(verdict), Admitted::Known(verdict));
        }
        let bytes = new_event.publication.bytes();
        if full || !self.memory.has_room(bytes) {
            return (Resolution::Resolved(Verdict::Overloaded), Admitted::Known(Verdict::Overloaded));
        }
        let (seq, NewEvent { key, lane, event_time, obstacle, publication }) = (self.next, new_event);
        self.next = Seq(seq.0 + 1);
        self.memory.add(bytes);
        if let Some(code) = obstacle.filter(|_| self.coordinates_recoveries) {
            self.close_lane(lane, code);
        }
        let slot = self.insert(Event {
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            obstacle,
            publication: Some(publication),
            publication_bytes: bytes,
            waiters: vec![waiter],
            confirmed,
            ..Event::new(seq, key, lane, event_time)
        });
        if self.memory.is_half_full() || self.is_blocked(slot) {
            self.write(slot);
        }
        (Resolution::Open(EventHandle { seq, slot }), Admitted::New)
    }

    /// Makes a request wait for an event that is already in progress, unless it is blocked and durable.
    fn join(&mut self, slot: u32, waiter: (RequestId, u32), obstacle: Option<FailureCode>) -> Resolution {
        let Some(event) = self.events.get_mut(slot as usize) else { return Resolution::Resolved(Verdict::Overloaded) };
        event.obstacle = obstacle;
        let blocked = self.is_blocked(slot);
        let Some(event) = self.events.get_mut(slot as usize) else { return Resolution::Resolved(Verdict::Overloaded) };
        if event.durability == Durability::Synced && blocked {
            self.answer_if_durable(slot);
            return Resolution::Resolved(Verdict::NotConfirmed);
        }
        // Waiters whose request has ended are dropped. The current request is not in `requests` yet.
        event.waiters.retain(|(request, _)| self.requests.contains(*request) || *request == waiter.0);
        event.waiters.push(waiter);
        let handle = event.handle(slot);
        if blocked {
            self.write(slot);
        }
        Resolution::Open(handle)
    }

    /// Returns true if a confirmation of this event cannot be expected soon. The event is then written to the journal
    /// at once, and answered as soon as it is durable.
    pub(super) fn is_blocked(&self, slot: u32) -> bool {
        let event = self.events.get(slot as usize);
        let is_held = |lane| self.heads.is_withheld(lane) || self.heads.is_closed(lane);
        !self.may_publish || event.is_some_and(|event| event.obstacle.is_some() || is_held(event.lane))
    }

    /// Forgets a request whose sender has disconnected. Its events continue.
    pub fn cancel(&mut self, request: RequestId) {
        for (_, handle) in self.requests.open(request) {
            self.detach(handle.slot);
        }
        self.requests.remove(request);
    }

    /// Executes what is due at `now`.
    pub fn tick(&mut self, now: Millis) {
        self.clock = self.clock.max(now);
        while let Some(action) = self.requests.due(now) {
            match action {
                DueAction::Write(handles) => handles.into_iter().for_each(|handle| self.write_if_current(handle)),
                DueAction::Answer(request, open) => {
                    for (position, handle) in open {
                        let verdict = self.verdict_at_deadline(handle);
                        self.resolve_waiters([(request, position)], verdict);
                        self.detach(handle.slot);
                    }
                }
            }
        }
        self.replay_slots.release_slow(&mut self.events, now);
        self.retry(now);
    }

    /// Starts the shutdown: writes all events to the journal at once, and answers all requests at `deadline` at the
    /// latest.
    pub fn expire_deadlines(&mut self, deadline: Millis) {
        self.requests.expire_deadlines(deadline);
        self.write_all();
    }

    /// Takes the commands that were issued since the last call.
    pub fn commands(&mut self) -> Vec<Command<P, W>> {
        let mut commands = std::mem::take(&mut self.commands);
        // The input that lets an event be read back can also resolve it, and its slot passes to another event. Reading
        // both would exceed the limits of replay.
        commands.retain(|command| !matches!(command, Command::Load(handle) if self.at(*handle).is_none()));
        commands
    }

    fn verdict_at_deadline(&self, handle: EventHandle) -> Verdict {
        match self.at(handle).map(|event| event.durability) {
            Some(Durability::Synced) => Verdict::NotConfirmed,
            // The event is not durable, so nothing is promised.
            Some(Durability::None | Durability::Pending | Durability::Rejected) | None => Verdict::Overloaded,
        }
    }

    /// Passes the verdict to these waiters, and answers the requests that are complete.
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
