//! What the gauges of `materialize` show. A lag is shown only while it is known: a false 0 would say that nothing waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::session::{Active, Session};
use crate::kafka::state::{Bounds, Partition};

/// Update interval.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Shows the current values, at most once per interval.
    pub(super) fn show(&mut self) {
        self.owner.show_ready(self.membership.is_some() && self.is_restored());
        if self.gauges_shown.elapsed() < GAUGE_INTERVAL {
            return;
        }
        self.gauges_shown = Instant::now();
        let metrics = &self.owner.health.metrics;
        metrics.partitions.set(i64::try_from(self.active.len()).unwrap_or(i64::MAX));
        let bounds = self.input.bounds();
        for entity in idaas_state::Entity::ALL {
            metrics.entity(entity).entities.set(0);
        }
        for (index, pair) in self.owner.pairs.iter().enumerate() {
            let is_known = self.membership.is_some() && !self.is_restoring(index);
            let known = if is_known { lag(&self.active, index, &bounds) } else { None };
            metrics.show_lag(&pair.events, known);
            let active = self.active.iter().filter(|(partition, _)| partition.pair == index);
            let live = active.map(|(_, active)| i64::try_from(active.checkpoint.live).unwrap_or(i64::MAX));
            metrics.entity(pair.entity).entities.add(live.sum());
        }
    }
}

/// Returns the number of records of an event topic that are not applied yet. `None` if the end of a partition is not
/// known.
fn lag(active: &BTreeMap<Partition, Active>, pair: usize, bounds: &BTreeMap<Partition, Bounds>) -> Option<i64> {
    let partitions = active.iter().filter(|(partition, _)| partition.pair == pair);
    let behind = partitions.map(|(partition, active)| {
        let Bounds { begin, end } = bounds.get(partition)?;
        // Records that were removed before they were applied are not behind: nobody can apply them.
        Some(end.saturating_sub(active.committed.unwrap_or_default().max(*begin)).max(0))
    });
    behind.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::materialize::store::Checkpoint;

    const fn at(pair: usize, number: i32) -> Partition {
        Partition { pair, number }
    }

    fn active(committed: &[(Partition, Option<i64>)]) -> BTreeMap<Partition, Active> {
        let active = |committed| Active { committed, next: None, checkpoint: Checkpoint::default() };
        committed.iter().map(|(partition, committed)| (*partition, active(*committed))).collect()
    }

    #[test]
    fn the_lag_is_unknown_until_each_end_is_known() {
        let active = active(&[(at(0, 0), Some(4)), (at(0, 1), Some(7)), (at(1, 0), None)]);
        let mut bounds = BTreeMap::from([(at(0, 0), Bounds { begin: 0, end: 10 })]);
        assert_eq!(lag(&active, 0, &bounds), None);
        bounds.insert(at(0, 1), Bounds { begin: 0, end: 7 });
        assert_eq!(lag(&active, 0, &bounds), Some(6));
        assert_eq!(lag(&active, 1, &bounds), None);
        assert_eq!(lag(&active, 2, &bounds), Some(0), "no partition of it is assigned to this instance");
    }

    #[test]
    fn removed_records_are_not_behind() {
        let bounds = BTreeMap::from([(at(0, 0), Bounds { begin: 100, end: 103 })]);
        assert_eq!(lag(&active(&[(at(0, 0), None)]), 0, &bounds), Some(3));
        assert_eq!(lag(&active(&[(at(0, 0), Some(40))]), 0, &bounds), Some(3));
        assert_eq!(lag(&active(&[(at(0, 0), Some(102))]), 0, &bounds), Some(1));
        // The end is that of a few seconds ago.
        assert_eq!(lag(&active(&[(at(0, 0), Some(105))]), 0, &bounds), Some(0));
    }
}
