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

    /// Counts the events that wait in lanes that are withheld, or for the recovery of their partition, by lane.
    #[must_use]
    pub fn withheld_by_lane(&self) -> HashMap<LaneKey, u32> {
        self.executor.outbox.lock().withheld_by_lane()
    }

    /// Returns true if the producer has an event of a lane that waits for the recovery of its partition.
    #[must_use]
    pub fn has_recovering_in_flight(&self) -> bool {
        self.executor.outbox.lock().has_recovering_in_flight()
    }

    /// Sets whether other replicas must be asked before events that waited for a partition are published.
    pub fn coordinate_recoveries(&self, coordinate: bool) {
        self.executor.step(|outbox, _| outbox.coordinate_recoveries(coordinate));
    }

    /// Sets how the other replicas are asked. `ask` is called with a lock held: it must return at once, and returns
    /// false if nobody will call [`Dispatcher::release_closed_lanes`]. A second call changes nothing.
    pub fn ask_replicas(&self, ask: impl Fn() -> bool + Send + Sync + 'static) {
        // It is already set.
        let _ = self.executor.recovery.ask_replicas.set(Box::new(ask));
    }

    /// Publishes events that waited for partitions.
    pub fn release_closed_lanes(&self) {
        self.executor.step(|outbox, _| outbox.release_closed_lanes());
    }

    /// Returns true if an event of these lanes that was accepted before `before` is not published yet. Lanes whose
    /// head fails repeatedly do not count.
    #[must_use]
    pub fn has_backlog(&self, lanes: &HashSet<LaneKey>, before: Seq) -> bool {
        self.executor.outbox.lock().has_backlog(lanes, before)
    }
}
