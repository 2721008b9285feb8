//! Counts what happened in schedules: a test run without faults would prove nothing.

use crate::verdict::Verdict;

/// What happened in one schedule, or in many.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) steps: u64,
    pub(super) requests: u64,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) crashes: u64,
    confirmed: u64,
    dead_lettered: u64,
    not_confirmed: u64,
    overloaded: u64,
}

impl Coverage {
    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Confirmed => self.confirmed += 1,
            Verdict::DeadLettered(_) => self.dead_lettered += 1,
            Verdict::NotConfirmed => self.not_confirmed += 1,
            Verdict::Overloaded => self.overloaded += 1,
            Verdict::NotSubscribed => {}
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.crashes += other.crashes;
        self.confirmed += other.confirmed;
        self.dead_lettered += other.dead_lettered;
        self.not_confirmed += other.not_confirmed;
        self.overloaded += other.overloaded;
    }

    /// Fails if something important did not happen in a tenth of the schedules.
    pub(super) fn assert_that_all_was_tried(&self, schedules: u64) {
        let least = schedules / 10;
        let counts = [self.duplicates, self.crashes, self.dead_lettered, self.not_confirmed, self.overloaded];
        assert!(counts.iter().all(|count| *count > least), "something hardly ever happens: {self:?}");
    }
}
