//! What a coordinator needs to know about the outbox and the topics.

use std::collections::{HashMap, HashSet};

use crate::LaneKey;

/// Facts about the replica that the coordinator needs.
pub trait Facts {
    /// Returns true if the producer has an event without a delivery report.
    fn in_flight(&self) -> bool;
    /// Returns true if the producer has such an event in a lane that waits for the recovery of its partition.
    fn recovering_in_flight(&self) -> bool;
    /// Returns true if the producer has such an event in these lanes.
    fn in_flight_in(&self, lanes: &HashSet<LaneKey>) -> bool;
    /// Returns how many events wait in each lane.
    fn waiting(&self) -> HashMap<LaneKey, u32>;
    /// Returns how many events wait in each lane that is withheld, or waits for the recovery of its partition.
    fn withheld(&self) -> HashMap<LaneKey, u32>;
    /// Returns true if an event still waits that was in these lanes when they were last released, or when publishing
    /// began. Events that have failed do not count.
    fn has_backlog(&self, lanes: &HashSet<LaneKey>) -> bool;
    /// Returns true if the coordination topic has been read up to the end that it had when Kafka became available, or
    /// later.
    fn log_is_current(&self) -> bool;
    /// Returns the last ticket that is done.
    fn caught_up(&self) -> u64;
}
