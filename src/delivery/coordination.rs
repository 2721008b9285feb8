//! What the coordination of several replicas asks of the outbox at work.

use std::collections::HashSet;

use outbox::{LaneKey, Seq};

use super::dispatcher::Dispatcher;

impl Dispatcher {
    /// The number that the next event gets.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.executor.outbox.lock().next_seq()
    }

    /// Whether the producer has an event without a report: of these lanes, or of any.
    #[must_use]
    pub fn has_in_flight(&self, lanes: Option<&HashSet<LaneKey>>) -> bool {
        self.executor.outbox.lock().has_in_flight(lanes)
    }

    /// Whether an event of these lanes that was accepted before `before` has yet to be published. Lanes whose head fails
    /// again and again do not count.
    #[must_use]
    pub fn has_backlog(&self, lanes: &HashSet<LaneKey>, before: Seq) -> bool {
        self.executor.outbox.lock().has_backlog(lanes, before)
    }
}
