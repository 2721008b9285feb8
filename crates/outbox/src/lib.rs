//! The outbox: decides what to publish, persist and answer.
//!
//! [`machine::Outbox`] is a deterministic state machine: inputs go in, commands come out. It has no clock, no I/O and
//! no async code. A driver connects it to a producer, a journal and the requests. After every step:
//!
//! 1. [`verdict::Verdict::Confirmed`] is answered only if the broker has confirmed all records of the event.
//! 2. An event that was answered as confirmed or not confirmed is on the broker, or synced in the journal.
//! 3. At most one event of a lane (topic and key) is with the producer, in the order of acceptance. Events that arrive
//!    while Kafka is unavailable are sorted by `eventTime`, because their requests arrive in any order.
//! 4. Each request is answered once, by its deadline, with one verdict for each of its events.
//! 5. A journal entry is deleted only after its event is confirmed, and nothing waits forever.

mod coordination;
mod dedup_cache;
mod event;
mod failure;
mod identity;
mod lane_heads;
mod lanes;
pub mod machine;
mod memory_budget;
mod no_hash;
mod persistence;
mod placement;
mod publishing;
mod replay;
mod replay_slots;
pub mod replicas;
mod requests;
mod stats;
pub mod verdict;
mod waiting_heads;

pub use event::{EventHandle, Loaded, NewEvent, Publication, Recovered};
pub use failure::{DiscardOutcome, FailureCode, RedriveOutcome, WaitReason, WaitingHead};
pub use identity::{EventKey, LaneKey, Seq};
pub use no_hash::{Hashed, NoHash};
pub use publishing::record_bit;
pub use requests::RequestId;
use verdict::Verdict;

/// Milliseconds of a monotonic clock, counted from the start of the process.
pub type Millis = u64;

/// The result for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryReport {
    /// Persisted on all in-sync replicas.
    Confirmed,
    /// The broker rejects this record permanently, alone or in a batch.
    Rejected(FailureCode),
    /// Not persisted as far as is known. Another attempt can succeed.
    Failed(FailureCode),
    /// The producer's queue is full.
    QueueFull,
    /// Not handed to the producer, because its partition does not accept records, for this reason. A retry makes sense
    /// only after [`machine::Outbox::release_closed_lanes`].
    NotSent(FailureCode),
}

/// What the topics show about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// All of its records are published. This is its final verdict.
    Whole(Verdict),
    /// The event's own record with this index is published. Does not apply to dead letters.
    Record(u8),
}

/// A request whose verdicts are all known.
pub struct CompletedRequest<W> {
    /// The waiter that gets the verdicts.
    pub waiter: W,
    /// The verdicts, in the order of the events.
    pub verdicts: Vec<Verdict>,
}

#[cfg(test)]
mod simulation;
