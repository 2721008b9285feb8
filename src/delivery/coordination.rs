//! Queries of the replica coordination about the running outbox.

use std::collections::{HashMap, HashSet};

use outbox::{LaneKey, Seq};

use super::dispatcher::Dispatcher;

impl Dispatcher {
    /// Returns the sequence number that the next event gets.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.executor.outbox.lock().next_seq()
    }

    /// Returns true if the producer has an event without a delivery report: of these lanes, or of any if `lanes` is
    /// `None`.
    #[must_use]
    pub fn has_in_flight(&self, lanes: Option<&HashSet<LaneKey>>) -> bool {
        self.executor.outbox.lock().has_in_flight(lanes)
    }

    /// Counts the events that wait in lanes that are withheld, by lane.
    #[must_use]
    pub fn withheld_by_lane(&self) -> HashMap<LaneKey, u32> {
        self.executor.outbox.lock().withheld_by_lane()
    }

    /// Returns true if an event of these lanes that was accepted before `before` is not published yet. Lanes whose
    /// head fails repeatedly do not count.
    #[must_use]
    pub fn has_backlog(&self, lanes: &HashSet<LaneKey>, before: Seq) -> bool {
        self.executor.outbox.lock().has_backlog(lanes, before)
    }
}
