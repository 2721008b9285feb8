//! The exchange of claims after the recovery of partitions.
//!
//! It is the same as after an outage (`gather`), but the replica goes on to publish all other lanes, and claims only
//! those that waited for their partitions. If the exchange takes too long, their events are published without it.

use std::collections::HashMap;

use super::coordinator::{Coordinator, Facts, Stage};
use crate::{LaneKey, Millis};

/// Minimum interval between the starts of two exchanges, of which the later one is for recovered partitions. Partitions
/// that recover and fail all the time cause no more of them.
const MIN_RECOVERY_INTERVAL: Millis = 5000;

impl Coordinator {
    /// Notes that partitions accept records again. Their events wait for [`super::coordinator::Command::Recover`].
    pub fn partitions_available(&mut self, now: Millis) {
        match self.stage {
            // They are published with all others as soon as Kafka is available.
            Stage::Unavailable => {}
            Stage::Live => self.recovery_due = true,
            // Its claim is still to be written, and covers them.
            Stage::Settling | Stage::Ready | Stage::Learning(_) => {}
            // The producer's reports on their records are still to come. The exchange takes no longer.
            Stage::Claiming | Stage::Checking(..) | Stage::Starting(_) if self.is_open => {
                self.enter(Stage::Settling, now);
            }
            Stage::Claiming | Stage::Checking(..) | Stage::Starting(_) => {}
        }
    }

    /// Begins an exchange for partitions that have recovered, if one is due.
    pub(super) fn begin_recovery(&mut self, now: Millis) {
        if self.recovery_due && now >= self.exchange_began + MIN_RECOVERY_INTERVAL {
            self.recovery_due = false;
            self.begin(now);
        }
    }

    /// Returns how many events wait in each lane that takes part in the exchange.
    pub(super) fn waiting(&self, facts: &impl Facts) -> HashMap<LaneKey, u32> {
        if self.is_open { facts.withheld() } else { facts.waiting() }
    }
}
