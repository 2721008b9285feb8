//! Traffic counts of one ten-second bucket.

use std::collections::HashMap;
use std::sync::Arc;

use idaas_callback::Refusal;
use idaas_callback::event_type::Entity;
use outbox::verdict::List;

/// Maximum number of applications that a finished bucket keeps.
pub(super) const MAX_KEPT: usize = 64;

pub(super) const LISTS: usize = List::ALL.len();
const ENTITIES: usize = Entity::ALL.len();
const REFUSALS: usize = Refusal::ALL.len();

/// Counts of one or several buckets.
#[derive(Clone, Default)]
pub(super) struct Totals {
    pub(super) lists: [u64; LISTS],
    pub(super) refused: u64,
}

/// The counts of ten seconds.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) all: Totals,
    pub(super) published: [u64; ENTITIES],
    pub(super) refusals: [u64; REFUSALS],
    pub(super) confirmed: u64,
    pub(super) seconds: f64,
    /// All applications with traffic while the bucket is the newest; later only the busiest ones.
    pub(super) applications: HashMap<Arc<str>, Totals>,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.lists.iter_mut().zip(other.lists).for_each(|(sum, value)| *sum += value);
        self.refused += other.refused;
    }

    pub(super) fn busy(&self) -> u64 {
        self.lists.iter().sum::<u64>() + self.refused
    }
}

impl Bucket {
    /// Finishes the bucket: keeps only the busiest applications.
    pub(super) fn close(&mut self) {
        if self.applications.len() > MAX_KEPT {
            let mut tallies: Vec<_> = self.applications.drain().collect();
            tallies.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.busy()));
            tallies.truncate(MAX_KEPT);
            self.applications = tallies.into_iter().collect();
        }
    }

    pub(super) fn of(&self, name: &str) -> Totals {
        self.applications.get(name).cloned().unwrap_or_default()
    }

    /// Returns the counts of all applications except these.
    pub(super) fn without(&self, names: &[Arc<str>]) -> Totals {
        let mut shown = Totals::default();
        names.iter().for_each(|name| shown.add(&self.of(name)));
        let mut rest = self.all.clone();
        rest.lists.iter_mut().zip(shown.lists).for_each(|(sum, value)| *sum = sum.saturating_sub(value));
        rest.refused = rest.refused.saturating_sub(shown.refused);
        rest
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.confirmed > 0).then(|| (self.seconds / self.confirmed as f64 * 1e5).round() / 1e2)
    }
}
