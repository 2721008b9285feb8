//! The order of first records per entity, against the order of acceptance as far as the sender knows it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Facts;
use crate::support::fault_load::ledger::LedgerSnapshot;
use crate::support::fault_load::published::{Position, Published};

/// The events that stand before one that they had to stand behind.
pub(super) fn violations(snapshot: &LedgerSnapshot, facts: &[Facts], published: &Published) -> Vec<usize> {
    let mut entities: BTreeMap<&str, Vec<(Position, usize)>> = BTreeMap::new();
    for (event, sent) in snapshot.events.iter().enumerate() {
        if let Some(first) = published.copies.get(&sent.id).and_then(|copies| copies.first()) {
            entities.entry(&sent.entity).or_default().push((first.position, event));
        }
    }
    entities.into_values().flat_map(|records| of_entity(records, snapshot, facts)).collect()
}

fn of_entity(mut records: Vec<(Position, usize)>, snapshot: &LedgerSnapshot, facts: &[Facts]) -> Vec<usize> {
    records.sort_unstable();
    let mut violations = Vec::new();
    // From the last record to the first: what stands behind must neither have been accepted before this one was sent,
    // nor stand before it in its own callback.
    let mut accepted_behind = Duration::MAX;
    let mut first_behind: HashMap<usize, usize> = HashMap::new();
    for (_, event) in records.into_iter().rev() {
        let in_its_callback = first_behind.entry(snapshot.events[event].callback).or_insert(usize::MAX);
        if accepted_behind < facts[event].first_sent || *in_its_callback < event {
            violations.push(event);
        }
        *in_its_callback = event.min(*in_its_callback);
        accepted_behind = accepted_behind.min(facts[event].accepted.unwrap_or(Duration::MAX));
    }
    violations
}
