//! The state of one event: its stage, its waiters, and whether it is in the journal.

use std::sync::Arc;

use super::requests::RequestId;
use super::verdict::Verdict;
use super::{DeliveryReport, EventKey, FailureCode, LaneKey, Millis, Seq};

/// The records of one event. The state machine never looks inside.
pub trait Publication: Sized {
    /// Returns the number of records, at least one. Each gets its own delivery report. A dead letter is a single
    /// record.
    fn records(&self) -> u8;
    /// Returns the approximate size in memory, in bytes.
    fn bytes(&self) -> usize;
    /// Returns a copy that keeps nothing of its request in memory. `None` if this publication does not either.
    fn detached(&self) -> Option<Self>;
    /// Returns the verdict on the event once all records are confirmed.
    fn verdict(&self) -> Verdict;
    /// Returns the replacement for a publication that the broker rejects permanently: the dead letter, or a smaller
    /// one. `None` if nothing smaller exists.
    fn fallback(&self) -> Option<Self>;
}

/// An event of a request that is to be published.
pub struct NewEvent<P> {
    /// The identity of the event.
    pub key: EventKey,
    /// The lane of the event.
    pub lane: LaneKey,
    /// When it happened, in milliseconds since 1970. Decides its position among the events that wait for the end of an
    /// outage.
    pub event_time: i64,
    /// Why it cannot be published at the moment, if that is known. The event is then written to the journal at once,
    /// and answered as soon as it is durable.
    pub obstacle: Option<FailureCode>,
    /// The records of the event. In an `Arc` from the start, because it is large and passed on several times.
    pub publication: Arc<P>,
}

/// An entry that was in the journal at the start.
#[derive(Debug, Clone, Copy)]
pub struct Recovered {
    /// Its position in the order of acceptance.
    pub seq: Seq,
    /// The identity of the event.
    pub key: EventKey,
    /// The lane of the event.
    pub lane: LaneKey,
    /// See [`NewEvent::event_time`].
    pub event_time: i64,
    /// Approximate size of its publication in memory, in bytes.
    pub bytes: usize,
}

/// The result of reading an entry from the journal.
pub enum Loaded<P> {
    /// The entry's publication.
    Found(P),
    /// The entry is damaged or missing.
    Damaged,
    /// The journal cannot be read at the moment.
    Unavailable,
}

/// Identifies an event in the machine: a slot, and the sequence number that shows whether the slot still holds the
/// same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHandle {
    /// Its position in the order of acceptance.
    pub seq: Seq,
    pub(super) slot: u32,
}

impl EventHandle {
    /// Creates a handle, for tests of the producer without a state machine.
    #[must_use]
    pub const fn new(seq: Seq, slot: u32) -> Self {
        Self { seq, slot }
    }
}

/// How far the event is on its way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits behind another event of its lane, or was not activated yet.
    Queued,
    /// It is the head of its lane and is published as soon as possible.
    Ready,
    /// It is the head of its lane and backs off after a failure, until this time.
    BackingOff(Millis),
    /// It is the head of its lane, and its publication is being read from the journal.
    Loading,
    /// It is with the producer. Holds the number of records, the number of missing reports, the decisive report so
    /// far, and the verdict if all records are confirmed.
    InFlight { records: u8, missing: u8, worst: DeliveryReport, verdict: Verdict },
}

/// Whether the event is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It is not in the journal.
    None,
    /// It is being written.
    Pending,
    /// It is written and synced.
    Synced,
    /// The last attempt to write it failed.
    Rejected,
}

/// Whether the event occupies a replay slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaySlot {
    None,
    /// It is being replayed and occupies a slot.
    Held,
    /// It is being replayed, but is so slow that it no longer occupies a slot.
    Released,
}

pub(super) struct Event<P> {
    pub(super) key: EventKey,
    pub(super) seq: Seq,
    pub(super) lane: LaneKey,
    pub(super) event_time: i64,
    /// The next event of its lane.
    pub(super) next: Option<u32>,
    /// The previous event of its lane.
    pub(super) previous: Option<u32>,
    /// Size of its publication in memory, in bytes. Counts while the event is replayed.
    pub(super) bytes: u32,
    pub(super) stage: Stage,
    pub(super) durability: Durability,
    pub(super) replay: ReplaySlot,
    pub(super) attempts: u8,
    /// How many times in a row the producer's queue was full.
    pub(super) queue_full_retries: u8,
    /// How many times the publication was replaced by its fallback since it was written to the journal.
    pub(super) fallback_level: u8,
    /// Which of the event's own records are in the topics, one bit for each. Does not cover a dead letter that
    /// replaces them.
    pub(super) confirmed: u8,
    /// See [`NewEvent::obstacle`].
    pub(super) obstacle: Option<FailureCode>,
    /// Why the last attempt failed.
    pub(super) failure: Option<FailureCode>,
    /// When the first attempt failed, in seconds.
    pub(super) failing_since: u32,
    /// The verdict that was found in the topics while the event was with the producer.
    pub(super) published_verdict: Option<Verdict>,
    /// `None` if only the journal, and possibly the producer, has it.
    pub(super) publication: Option<Arc<P>>,
    /// Size of `publication`, in bytes.
    pub(super) publication_bytes: usize,
    /// The requests that wait for the verdict, each with the position of the event in it.
    pub(super) waiters: Vec<(RequestId, u32)>,
}

impl<P> Event<P> {
    /// Creates an event that is not in a lane yet.
    pub(super) const fn new(seq: Seq, key: EventKey, lane: LaneKey, event_time: i64) -> Self {
        Self {
            key,
            seq,
            lane,
            event_time,
            next: None,
            previous: None,
            bytes: 0,
            stage: Stage::Queued,
            durability: Durability::None,
            replay: ReplaySlot::None,
            attempts: 0,
            queue_full_retries: 0,
            fallback_level: 0,
            confirmed: 0,
            obstacle: None,
            failure: None,
            failing_since: 0,
            published_verdict: None,
            publication: None,
            publication_bytes: 0,
            waiters: Vec::new(),
        }
    }

    pub(super) const fn handle(&self, slot: u32) -> EventHandle {
        EventHandle { seq: self.seq, slot }
    }

    /// Returns the sort key among lane heads that wait for replay: oldest first. Heads that have failed come after all
    /// others, so that a partition without a leader does not delay them.
    pub(super) const fn replay_order(&self, slot: u32) -> (bool, EventHandle) {
        (self.attempts > 0, self.handle(slot))
    }

    pub(super) const fn in_flight(&self) -> bool {
        matches!(self.stage, Stage::InFlight { .. })
    }
}
