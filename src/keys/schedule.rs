//! Decides when to fetch next, as a pure function of past fetches.
//!
//! This module must never wait, fetch or read a clock.

use std::time::Duration;

use tokio::time::Instant;

/// The times of refreshing. The service uses the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// From a success to the next fetch.
    pub refresh: Duration,
    /// Minimum time between two fetches for unknown key ids.
    pub cool_down: Duration,
    /// First retry interval while there are no keys. Doubles with each failure.
    pub retry_without_keys: Duration,
    /// First retry interval while there are older keys. Doubles with each failure.
    pub retry_with_keys: Duration,
    /// Maximum retry interval.
    pub retry_limit: Duration,
    /// The fraction by which an interval is randomly shortened at most, so that applications that started together do
    /// not all fetch at once.
    pub jitter: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(600),
            cool_down: Duration::from_secs(10),
            retry_without_keys: Duration::from_secs(1),
            retry_with_keys: Duration::from_secs(10),
            retry_limit: Duration::from_secs(60),
            jitter: 0.2,
        }
    }
}

/// The reason for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A regular refresh or a retry.
    Time,
    /// A token named an unknown key id. Only this starts the cool-down, so that a regular refresh does not delay the
    /// reaction to a rotation just after it.
    UnknownKid,
}

/// The outcome of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A usable key set was fetched.
    Good,
    /// The fetch failed, but there are older keys.
    FailedWithKeys,
    /// The fetch failed, and there are no keys.
    FailedWithoutKeys,
}

/// The times of the next fetches. The first one is due at once.
pub(super) struct Schedule {
    timing: Timing,
    next_regular: Instant,
    cool_down_end: Instant,
    failures: u32,
}

impl Schedule {
    pub(super) const fn new(timing: Timing, now: Instant) -> Self {
        Self { timing, next_regular: now, cool_down_end: now, failures: 0 }
    }

    /// Returns the time of the next fetch. Set `wanted` if a fetch for an unknown key id is pending.
    pub(super) fn due(&self, wanted: bool) -> Instant {
        if wanted { self.next_regular.min(self.cool_down_end) } else { self.next_regular }
    }

    pub(super) fn began(&mut self, now: Instant, cause: Cause) {
        match cause {
            Cause::Time => {}
            Cause::UnknownKid => self.cool_down_end = now + self.timing.cool_down,
        }
    }

    /// Records the end of a fetch. `chance`, from 0 to 1, decides how much the next interval is shortened.
    pub(super) fn ended(&mut self, now: Instant, end: End, chance: f64) {
        let jittered = |time: Duration| time.mul_f64((1.0 - self.timing.jitter * chance).clamp(0.0, 1.0));
        let first = match end {
            End::Good => {
                self.next_regular = now + jittered(self.timing.refresh);
                self.failures = 0;
                return;
            }
            End::FailedWithKeys => self.timing.retry_with_keys,
            End::FailedWithoutKeys => self.timing.retry_without_keys,
        };
        let delay = first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.next_regular = now + jittered(delay.min(self.timing.retry_limit));
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(end: End, count: usize) -> Vec<u64> {
        let now = Instant::now();
        let mut schedule = Schedule::new(Timing::default(), now);
        let mut delay = || {
            schedule.ended(now, end, 0.0);
            (schedule.due(false) - now).as_secs()
        };
        (0..count).map(|_| delay()).collect()
    }

    #[test]
    fn without_keys_retries_double_from_one_second_to_a_minute() {
        assert_eq!(delays(End::FailedWithoutKeys, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delays(End::FailedWithoutKeys, 100).last(), Some(&60));
    }

    #[test]
    fn with_keys_retries_double_from_ten_seconds_to_a_minute() {
        assert_eq!(delays(End::FailedWithKeys, 5), [10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_success_resets_the_fetch_back_off() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Timing::default(), now);
        schedule.ended(now, End::FailedWithKeys, 0.0);
        schedule.ended(now, End::Good, 0.0);
        assert_eq!((schedule.due(false) - now).as_secs(), 600);
        schedule.ended(now, End::FailedWithKeys, 0.0);
        assert_eq!((schedule.due(false) - now).as_secs(), 10);
    }

    #[test]
    fn only_a_fetch_for_an_unknown_key_starts_the_cool_down() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Timing::default(), now);
        schedule.began(now, Cause::Time);
        schedule.ended(now, End::Good, 0.0);
        assert_eq!(schedule.due(true), now);
        schedule.began(now, Cause::UnknownKid);
        schedule.ended(now, End::Good, 0.0);
        assert_eq!((schedule.due(true) - now).as_secs(), 10);
    }

    #[test]
    fn jitter_makes_a_time_shorter_by_a_fifth_at_most() {
        let now = Instant::now();
        for (chance, seconds) in [(0.0, 600), (0.5, 540), (1.0, 480)] {
            let mut schedule = Schedule::new(Timing::default(), now);
            schedule.ended(now, End::Good, chance);
            assert_eq!((schedule.due(false) - now).as_secs(), seconds);
        }
    }
}
