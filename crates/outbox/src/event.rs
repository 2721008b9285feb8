//! One event on its way: where it stands, who waits for it, and whether the journal has it.

use std::sync::Arc;

use super::requests::RequestId;
use super::verdict::Verdict;
use super::{DeliveryReport, EventKey, FailureCode, LaneKey, Millis, Seq};

/// What is published for an event. The machine never looks inside.
pub trait Publication: Sized {
    /// How many records it is made of, at least one; each gets a report of its own. A dead letter is a single record.
    fn records(&self) -> u8;
    /// How much memory it takes, in bytes, about.
    fn bytes(&self) -> usize;
    /// The verdict on the event once all its records are confirmed.
    fn verdict(&self) -> Verdict;
    /// What takes its place where the broker will never take it: its dead letter, or a smaller one. `None` where there
    /// is nothing smaller.
    fn fallback(&self) -> Option<Self>;
}

/// An event of a delivery that is to be published.
pub struct NewEvent<P> {
    /// Who it is.
    pub key: EventKey,
    /// Whose order it keeps.
    pub lane: LaneKey,
    /// When it happened, in milliseconds since 1970: decides its place among the events that wait for the end of an
    /// outage.
    pub event_time: i64,
    /// Whether its records are known not to be accepted at the moment. It is written to the journal at once, and answered
    /// as soon as it is durable.
    pub partition_unavailable: bool,
    /// What is published for it.
    pub publication: P,
}

/// An entry that the journal held at the start.
#[derive(Debug, Clone, Copy)]
pub struct Recovered {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// Which event it is.
    pub key: EventKey,
    /// Whose order it keeps.
    pub lane: LaneKey,
    /// As [`NewEvent::event_time`].
    pub event_time: i64,
    /// How much memory its publication takes, in bytes, about.
    pub bytes: usize,
}

/// What the journal gave for an entry.
pub enum Loaded<P> {
    /// The entry's publication.
    Found(P),
    /// The entry is damaged or missing.
    Damaged,
    /// The journal cannot be read at the moment.
    Unavailable,
}

/// Where an event in the machine is found again: a slot, and the number that tells whether it is still the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHandle {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    pub(super) slot: u32,
}

impl EventHandle {
    /// For whoever tests the producer without a machine.
    #[must_use]
    pub const fn new(seq: Seq, slot: u32) -> Self {
        Self { seq, slot }
    }
}

/// What the producer has to do with the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It stands behind another of its lane, or nobody has looked at it yet.
    Queued,
    /// It is its lane's head, and its turn comes as soon as there is room.
    Ready,
    /// It is its lane's head, and waits after a failure.
    BackingOff(Millis),
    /// It is its lane's head, and its body is being read from the journal.
    Loading,
    /// The producer has it: how many records the publication has, how many reports are missing, the worst of those that
    /// came, and the verdict if all of them are good.
    InFlight { records: u8, missing: u8, worst: DeliveryReport, verdict: Verdict },
}

/// What the journal has of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Nothing.
    None,
    /// It is being written.
    Pending,
    /// All of it, synced.
    Synced,
    /// The last attempt to write it failed.
    Rejected,
}

/// Whether the event is on its way from the journal back to the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplaySlot {
    None,
    /// It is, and counts among the few that may be at a time.
    Held,
    /// It is, and takes so long that others no longer wait for it.
    Released,
}

pub(super) struct Event<P> {
    pub(super) key: EventKey,
    pub(super) seq: Seq,
    pub(super) lane: LaneKey,
    pub(super) event_time: i64,
    /// The next of its lane.
    pub(super) next: Option<u32>,
    /// The one before it in its lane.
    pub(super) previous: Option<u32>,
    /// How much memory its publication takes, in bytes: counts while it is replayed.
    pub(super) bytes: u32,
    pub(super) stage: Stage,
    pub(super) durability: Durability,
    pub(super) replay: ReplaySlot,
    pub(super) attempts: u8,
    /// How many times in a row the producer had no room for it.
    pub(super) queue_full_retries: u8,
    /// How many times something smaller has taken the place of what the journal has of it.
    pub(super) fallback_level: u8,
    /// Which of the event's own records are in the topics, one bit for each. Says nothing about a dead letter in their place.
    pub(super) confirmed: u8,
    /// Whether waiting for its records is known to be in vain at the moment.
    pub(super) partition_unavailable: bool,
    /// Why the last attempt failed.
    pub(super) failure: Option<FailureCode>,
    /// When the first attempt failed, in seconds.
    pub(super) failing_since: u32,
    /// What the topics told while the producer had it.
    pub(super) published_verdict: Option<Verdict>,
    /// `None` while the journal has it, and perhaps the producer.
    pub(super) publication: Option<Arc<P>>,
    /// The deliveries that want its verdict, each with the event's position in it.
    pub(super) waiters: Vec<(RequestId, u32)>,
}

impl<P> Event<P> {
    /// A new event, which has no place in a lane yet.
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
            partition_unavailable: false,
            failure: None,
            failing_since: 0,
            published_verdict: None,
            publication: None,
            waiters: Vec::new(),
        }
    }

    pub(super) const fn handle(&self, slot: u32) -> EventHandle {
        EventHandle { seq: self.seq, slot }
    }

    /// Its place among heads of lanes that wait to be replayed: oldest first, and behind them those that have failed, so
    /// that a partition without a leader does not keep the others waiting.
    pub(super) const fn replay_order(&self, slot: u32) -> (bool, EventHandle) {
        (self.attempts > 0, self.handle(slot))
    }

    pub(super) const fn in_flight(&self) -> bool {
        matches!(self.stage, Stage::InFlight { .. })
    }
}
