//! The invariants: at the end of a schedule, and before a replica publishes.

use std::collections::{BTreeMap, HashMap};

use super::node::Event;
use super::scheduler::{LATE_LANES, Scheduler};
use crate::LaneKey;
use crate::replicas::ReplicaId;

impl Scheduler {
    /// Checks the invariants at the end. Returns how many events that arrived after the outage were published twice.
    pub(super) fn finally(&self) -> Result<usize, String> {
        for node in &self.nodes {
            let process = node.process.as_ref().ok_or("a replica is down")?;
            if !process.held.is_empty() || !process.closed.is_empty() || !process.coordinator.table.is_settled() {
                return Err(format!("{:?} holds lanes for ever", node.id));
            }
            if node.waiting.values().any(|events| !events.is_empty()) {
                return Err(format!("{:?} has events left", node.id));
            }
        }
        let (mut first, mut twice) = (HashMap::new(), [0, 0]);
        for (position, (_, lane, event)) in self.published.iter().enumerate() {
            if *first.entry((*lane, *event)).or_insert(position) != position {
                twice[usize::from(self.is_live(*lane, *event))] += 1;
            }
        }
        if let Some(lost) = self.accepted.keys().find(|event| !first.contains_key(*event)) {
            return Err(format!("{lost:?} is lost"));
        }
        let [outage, late] = twice;
        if !self.plan.faults && outage > 0 {
            return Err(format!("{outage} events are published twice"));
        }
        self.order(&first)?;
        Ok(late)
    }

    /// Checks that events of a lane are in order of time if one replica had all of them and none was killed.
    fn order(&self, first: &HashMap<(LaneKey, Event), usize>) -> Result<(), String> {
        let mut lanes: BTreeMap<LaneKey, Vec<Event>> = BTreeMap::new();
        // A replica that accepts new events of a lane claims more of it than one that has all events of the outage.
        for (lane, event) in self.accepted.keys().filter(|(lane, _)| !LATE_LANES.contains(&lane.0)) {
            lanes.entry(*lane).or_default().push(*event);
        }
        for (lane, events) in lanes {
            let whole = self
                .nodes
                .iter()
                .any(|node| events.iter().all(|event| self.accepted[&(lane, *event)].contains(&node.id)));
            let sorted = events.is_sorted_by_key(|event| first.get(&(lane, *event)));
            if whole && !sorted && !self.plan.faults {
                return Err(format!("{lane:?} is out of order"));
            }
        }
        Ok(())
    }

    /// Returns another replica that replays this lane too, although each sees the other's claim to it.
    pub(super) fn others_replay(&self, at: usize, lane: LaneKey) -> Option<ReplicaId> {
        let mine = self.nodes[at].process.as_ref()?;
        let others = (0..self.nodes.len()).filter(|other| *other != at);
        others.map(|other| &self.nodes[other]).find_map(|other| {
            let process = other.process.as_ref().filter(|process| process.open && other.paused_until <= self.now)?;
            let replays = other.waiting.get(&lane).is_some_and(|events| !events.is_empty());
            let sees = mine.coordinator.table.waits_for(other.id, lane)
                && process.coordinator.table.waits_for(self.nodes[at].id, lane);
            (replays && sees && !process.waits(lane)).then_some(other.id)
        })
    }

    /// Returns another replica that replays what has filled this lane while it was withheld, as this one does.
    pub(super) fn others_replay_filled(&self, at: usize, lane: LaneKey, event: Event) -> Option<ReplicaId> {
        let has_filled = |id, event| self.filled.get(&(lane, event)).is_some_and(|nodes| nodes.contains(&id));
        if self.plan.faults || !has_filled(self.nodes[at].id, event) {
            return None;
        }
        let others = self.nodes.iter().filter(|other| other.id != self.nodes[at].id);
        let mut others = others.filter(|other| {
            let replays = other.process.as_ref().is_some_and(|process| process.open && !process.waits(lane));
            replays && other.waiting.get(&lane).is_some_and(|all| all.iter().any(|event| has_filled(other.id, *event)))
        });
        others.next().map(|other| other.id)
    }
}
