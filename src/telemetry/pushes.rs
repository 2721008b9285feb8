//! Detects full pushes. IDaaS announces neither their start nor their end, so consecutive `snapshot` records of one
//! application count as one push until there is a pause of ten minutes.

use std::collections::VecDeque;
use std::sync::Arc;

use idaas_callback::event_type::Entity;
use serde::Serialize;

use super::application::ApplicationMetrics;

/// The number of pushes that are remembered.
const CAPACITY: usize = 32;

/// The pause after which a snapshot belongs to another push, in milliseconds. `push-report` has the same default.
const GAP: i64 = 600_000;

/// One full push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Push {
    /// The configured name of the application.
    pub application: String,
    /// The time at which its first record was confirmed, in milliseconds since 1970.
    pub begin: i64,
    /// The time at which its latest record was confirmed, in milliseconds since 1970.
    pub end: i64,
    /// Records of users.
    pub users: u64,
    /// Records of organizational units.
    pub units: u64,
    /// Records of groups.
    pub groups: u64,
}

struct Run {
    application: Arc<ApplicationMetrics>,
    begin: i64,
    end: i64,
    users: u64,
    units: u64,
    groups: u64,
}

/// The latest full pushes, in the order of their start.
#[derive(Default)]
pub(super) struct Pushes(VecDeque<Run>);

impl Pushes {
    /// Counts a confirmed snapshot record.
    pub(super) fn snapshot(&mut self, application: &Arc<ApplicationMetrics>, entity: Entity, time: i64) {
        let is_open =
            |run: &&mut Run| run.application.name() == application.name() && time.saturating_sub(run.end) <= GAP;
        if let Some(run) = self.0.iter_mut().rev().find(is_open) {
            run.count(entity, time);
            return;
        }
        let application = Arc::clone(application);
        let mut run = Run { application, begin: time, end: time, users: 0, units: 0, groups: 0 };
        run.count(entity, time);
        if self.0.len() >= CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(run);
    }

    /// Returns the pushes, newest first.
    pub(super) fn views(&self) -> Vec<Push> {
        let shown = |run: &Run| Push {
            application: run.application.name().to_owned(),
            begin: run.begin,
            end: run.end,
            users: run.users,
            units: run.units,
            groups: run.groups,
        };
        self.0.iter().rev().map(shown).collect()
    }
}

impl Run {
    fn count(&mut self, entity: Entity, time: i64) {
        self.end = self.end.max(time);
        match entity {
            Entity::User => self.users += 1,
            Entity::OrganizationalUnit => self.units += 1,
            Entity::Group => self.groups += 1,
            // These entities have no snapshots.
            Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn a_pause_or_another_application_begins_another_push() {
        let metrics = Metrics::new().unwrap();
        let (one, other) = (metrics.application("one", 0), metrics.application("other", 0));
        let mut pushes = Pushes::default();
        for (application, time) in [(&one, 0), (&other, 10), (&one, GAP), (&one, 2 * GAP + 1), (&other, GAP)] {
            pushes.snapshot(application, Entity::User, time);
        }
        let shown = pushes.views();
        let spans: Vec<_> = shown.iter().map(|push| (push.application.as_str(), push.begin, push.end)).collect();
        assert_eq!(spans, [("one", 2 * GAP + 1, 2 * GAP + 1), ("other", 10, GAP), ("one", 0, GAP)]);
    }

    #[test]
    fn the_number_of_pushes_is_bounded() {
        let metrics = Metrics::new().unwrap();
        let application = metrics.application("one", 0);
        let mut pushes = Pushes::default();
        for number in 0..CAPACITY as i64 + 3 {
            pushes.snapshot(&application, Entity::Group, number * 2 * GAP);
        }
        let shown = pushes.views();
        assert_eq!((shown.len(), shown[CAPACITY - 1].begin), (CAPACITY, 3 * 2 * GAP));
    }
}
