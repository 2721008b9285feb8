//! Which replica publishes what first, when several hold the same events.
//!
//! IDaaS sends an event again until it is confirmed, each time to whichever replica the load balancer picks. After an
//! outage most events are in several journals, and each journal can lack some of a lane's events. So replicas agree,
//! over a topic of their own, which of them publishes a lane's events first; the others wait, learn from the event topics
//! what was published, and publish what is left.
//!
//! [`record`] is what replicas write to the topic, [`table`] what the records amount to, and [`coordinator`] what one
//! replica does about it. All three are deterministic: no clock, no I/O, no async. `docs/decisions` has the reasons.

pub mod coordinator;
mod gather;
mod holds;
pub mod record;
pub mod table;
mod view;

/// A replica: the same over restarts with the same journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

/// Whose record it is: a replica, and which of its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer {
    /// The replica.
    pub replica: ReplicaId,
    /// Differs between any two processes.
    pub process: u64,
}

/// Where a record is in the topic. Later records have larger positions.
pub type Position = i64;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
