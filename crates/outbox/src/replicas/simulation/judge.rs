//! The invariants at the end of a schedule.

use std::collections::{BTreeMap, HashMap};

use super::node::Event;
use super::scheduler::{LATE_LANES, OUTAGE, Scheduler};
use crate::LaneKey;

impl Scheduler {
    /// Checks the invariants at the end. Returns how many events that arrived after the outage were published twice.
    pub(super) fn finally(&self) -> Result<usize, String> {
        for node in &self.nodes {
            let process = node.process.as_ref().ok_or("a replica is down")?;
            if !process.held.is_empty() || !process.coordinator.table.is_settled() {
                return Err(format!("{:?} holds lanes for ever", node.id));
            }
            if node.waiting.values().any(|events| !events.is_empty()) {
                return Err(format!("{:?} has events left", node.id));
            }
        }
        let (mut first, mut twice) = (HashMap::new(), [0, 0]);
        for (position, (_, lane, event)) in self.published.iter().enumerate() {
            if *first.entry((*lane, *event)).or_insert(position) != position {
                twice[usize::from(*event >= OUTAGE.end)] += 1;
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
}
