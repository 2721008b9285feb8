//! Read access to a coordinator.

use super::Writer;
use super::coordinator::{Coordinator, Stage};

impl Coordinator {
    /// Returns the writer of its records.
    #[must_use]
    pub const fn me(&self) -> Writer {
        self.me
    }

    /// Returns how many replicas are known, including this one.
    #[must_use]
    pub fn replicas(&self) -> usize {
        1 + self.others().count()
    }

    /// Returns how many lanes are withheld.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Returns in how many exchanges of claims it took part.
    #[must_use]
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Returns true if it publishes without having to ask other replicas.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.joined && self.others().next().is_none()
    }

    /// Returns true if it has something to do before the next heartbeat.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Unavailable | Stage::Live)
            || self.recovery_due
            || !self.held.is_empty()
            || !self.owned.is_empty()
    }
}
