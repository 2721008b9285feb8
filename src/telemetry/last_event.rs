//! The time of an application's last event.

use crate::clock;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time of the last event, in seconds since 1970.
pub(super) struct LastEvent {
    /// 0 before the first event.
    time: AtomicI64,
    /// Shown before the first event, so that an application that has been silent since the start also raises an
    /// alert.
    waiting_since: i64,
}

impl LastEvent {
    /// Creates it without an event.
    pub(super) fn none() -> Self {
        let now = clock::since_1970();
        Self { time: AtomicI64::new(0), waiting_since: i64::try_from(now.as_secs()).unwrap_or(i64::MAX) }
    }

    /// Records an event.
    pub(super) fn set(&self, time: i64) {
        self.time.store(time, Ordering::Relaxed);
    }

    /// Records an event that may be older than the last one.
    pub(super) fn set_at_least(&self, time: i64) {
        self.time.fetch_max(time, Ordering::Relaxed);
    }

    /// Returns the time of the last event, if there was one.
    pub(super) fn last(&self) -> Option<i64> {
        Some(self.time.load(Ordering::Relaxed)).filter(|time| *time != 0)
    }

    /// Returns the value of the metric.
    pub(super) fn value(&self) -> i64 {
        match self.time.load(Ordering::Relaxed) {
            0 => self.waiting_since,
            time => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_event_replaces_the_start_but_no_newer_event() {
        let last = LastEvent::none();
        assert!(last.value() > 1_700_000_000);
        last.set_at_least(5);
        assert_eq!(last.value(), 5);
        last.set(7);
        last.set_at_least(6);
        assert_eq!(last.value(), 7);
    }
}
