//! Coordination of replicas that hold the same events: which of them publishes a lane first.
//!
//! IDaaS sends an event again until it is confirmed, each time to whichever replica the load balancer picks. After an
//! outage most events are in several journals, and each journal can lack some of a lane's events. So replicas agree,
//! over a topic of their own, which of them publishes a lane's events first. The others wait, learn from the event
//! topics which events were published, and publish the rest.
//!
//! [`record`] is the format of the topic, [`table`] the state that the records add up to, and [`coordinator`] the
//! behavior of one replica. All three are deterministic: no clock, no I/O, no async code. `docs/decisions` has the
//! reasons.

pub mod coordinator;
mod facts;
mod gather;
mod holds;
pub mod record;
mod recovery;
pub mod table;
mod view;

/// Identifies a replica. It stays the same over restarts with the same journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

/// The writer of a record: a replica, and one of its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer {
    /// The replica.
    pub replica: ReplicaId,
    /// Differs between any two processes.
    pub process: u64,
}

/// The offset of a record in the topic. Later records have larger offsets.
pub type Offset = i64;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
