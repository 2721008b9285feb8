//! What can be seen of a coordinator from outside.

use super::Writer;
use super::coordinator::{Coordinator, Stage};

impl Coordinator {
    /// Whose records it writes.
    #[must_use]
    pub const fn me(&self) -> Writer {
        self.me
    }

    /// How many replicas there are, as far as is known, this one included.
    #[must_use]
    pub fn replicas(&self) -> usize {
        1 + self.others().count()
    }

    /// How many lanes are withheld.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// In how many exchanges of claims it took part.
    #[must_use]
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Whether it publishes without having to ask anybody.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.joined && self.others().next().is_none()
    }

    /// Whether it has something to do before the next heartbeat.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Away | Stage::Live) || !self.held.is_empty() || !self.owned.is_empty()
    }
}
