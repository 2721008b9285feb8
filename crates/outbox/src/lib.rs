//! The outbox: which events are on their way, who waits for them, and what has become of them.
//!
//! [`machine::Outbox`] is a deterministic state machine: inputs go in, commands come out, and it has no clock, no I/O and
//! no async. Whoever drives it connects it to a producer, a journal and the requests. What holds after every step:
//!
//! 1. [`verdict::Verdict::Confirmed`] is said only of an event all of whose records the broker has confirmed.
//! 2. An event that was answered as confirmed or not confirmed is on the broker, or synced in the journal.
//! 3. Of a lane (topic and key) one event at most is with the producer, in the order of acceptance. Events that arrive
//!    while Kafka is unavailable are put in order of their `eventTime`, because their deliveries arrive in any order.
//! 4. Each delivery is answered once, by its deadline, with one verdict for each of its events.
//! 5. A journal entry goes only after its event's confirmation, and nothing waits for ever.

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
mod replay;
mod replay_slots;
pub mod replicas;
mod requests;
mod schedule;
mod stats;
pub mod verdict;
mod waiting_heads;

pub use event::{EventHandle, Loaded, NewEvent, Publication, Recovered};
pub use failure::{FailureCode, WaitReason, WaitingHead};
pub use identity::{EventKey, LaneKey, Seq};
pub use no_hash::{Hashed, NoHash};
pub use requests::RequestId;
pub use schedule::bit;
use verdict::Verdict;

/// Milliseconds of a monotonic clock, counted from the start of the process.
pub type Millis = u64;

/// What the broker said of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryReport {
    /// Persisted on all in-sync replicas.
    Confirmed,
    /// The broker rejects this record for good, alone or not.
    Rejected(FailureCode),
    /// Not persisted, as far as is known; another attempt can succeed.
    Failed(FailureCode),
    /// The producer has no room for it.
    QueueFull,
    /// Not given to the producer, because nothing is accepted where it goes, for this reason. Trying again is of use only
    /// after [`machine::Outbox::partitions_recovered`].
    Closed(FailureCode),
}

/// What the topics tell about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// All of its records are published: this is its final verdict.
    Whole(Verdict),
    /// Of the event's own records (not of a dead letter), the one with this index is published.
    Record(u8),
}

/// A delivery all of whose verdicts are known.
pub struct CompletedRequest<W> {
    /// Who waits.
    pub waiter: W,
    /// The verdicts, in the order of the arrivals.
    pub verdicts: Vec<Verdict>,
}

#[cfg(test)]
mod simulation;
