//! Decides when Kafka counts as unavailable, from the results of the watch's probes. Pure: no clock, no I/O.
//!
//! Opening the breaker by mistake costs little, because events go through the journal. Opening it late delays the
//! answers to all events of that time to their deadline. A broker that collects garbage for half a second must not
//! open it, and an outage must do so within about two seconds. So it opens after at least [`FAILURES`] consecutive
//! failed probes that span [`MIN_SILENCE`].
//!
//! It closes at the first successful probe after an outage. If it has to open again before any record is confirmed,
//! metadata alone proves nothing, so probes must then succeed for longer and longer before it closes.

use std::time::Duration;

/// Number of consecutive probes that must fail.
const FAILURES: u32 = 3;
/// Minimum duration of the failure, counted from the start of the first failed probe.
const MIN_SILENCE: Duration = Duration::from_millis(1500);

/// Time for which all probes must succeed before the breaker closes again, if no record was confirmed since it last
/// closed.
/// Doubles from the minimum to the maximum.
const MIN_HOLD: Duration = Duration::from_secs(1);
const MAX_HOLD: Duration = Duration::from_secs(30);
/// Time for which the breaker must have been closed to prove that Kafka works, if there are no records.
const STEADY: Duration = Duration::from_secs(60);

/// Interval between two probes: while Kafka is available, while it is in doubt, while it is unavailable.
const INTERVAL_AVAILABLE: Duration = Duration::from_millis(500);
const INTERVAL_FAILING: Duration = Duration::from_millis(100);
const INTERVAL_UNAVAILABLE: Duration = Duration::from_millis(250);

/// The result of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// When the probe started, on a monotonic clock.
    pub(super) started: Duration,
    /// When it ended, on the same clock.
    pub(super) ended: Duration,
    /// True if the cluster accepts records.
    pub(super) is_accepting: bool,
    /// True if the connections to all brokers were reported as lost since the last successful probe.
    pub(super) all_down: bool,
}

/// The state of the breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    available: Option<bool>,
    failing: Option<Failing>,
    /// The start of the first of the successful probes in a row.
    good_since: Option<Duration>,
    /// When it last closed.
    closed: Option<Duration>,
    /// The number of confirmed records at the previous probe.
    confirmed: u64,
    /// Number of times that it has closed since the last proof that Kafka accepts records.
    reopenings_unproved: u32,
}

#[derive(Debug)]
struct Failing {
    since: Duration,
    probes: u32,
}

impl Breaker {
    /// Records a probe result, and the number of records that were confirmed so far. Returns the new availability if
    /// it changed.
    pub(super) fn record(&mut self, probe: Probe, confirmed: u64) -> Option<bool> {
        self.note_proof(&probe, confirmed);
        let available = if probe.is_accepting {
            self.failing = None;
            let good_since = *self.good_since.get_or_insert(probe.started);
            if self.available == Some(false) && probe.ended.saturating_sub(good_since) < self.min_hold() {
                return None;
            }
            true
        } else {
            self.good_since = None;
            let failing = self.failing.get_or_insert(Failing { since: probe.started, probes: 0 });
            failing.probes = failing.probes.saturating_add(1);
            let long = probe.ended.saturating_sub(failing.since) >= MIN_SILENCE;
            let sure = probe.all_down || (long && failing.probes >= FAILURES);
            if !sure {
                return None;
            }
            false
        };
        let is_change = self.available.replace(available) != Some(available);
        if is_change && available {
            self.closed = Some(probe.ended);
            self.reopenings_unproved = self.reopenings_unproved.saturating_add(1);
        }
        is_change.then_some(available)
    }

    /// Resets the hold if there is proof that the cluster accepts records, and does not only answer.
    fn note_proof(&mut self, probe: &Probe, confirmed: u64) {
        let is_confirmed = std::mem::replace(&mut self.confirmed, confirmed) != confirmed;
        let is_steady = self.available == Some(true)
            && self.failing.is_none()
            && self.closed.is_some_and(|closed| probe.started.saturating_sub(closed) >= STEADY);
        if is_confirmed || is_steady {
            self.reopenings_unproved = 0;
        }
    }

    /// Returns how long probes must succeed before it closes. Zero after the first opening.
    fn min_hold(&self) -> Duration {
        match self.reopenings_unproved {
            0 | 1 => Duration::ZERO,
            more => MIN_HOLD.saturating_mul(2_u32.saturating_pow(more - 2)).min(MAX_HOLD),
        }
    }

    /// Returns the interval before the next probe.
    pub(super) const fn interval(&self) -> Duration {
        match (self.available, &self.failing) {
            (Some(true), None) => INTERVAL_AVAILABLE,
            (Some(false), _) => INTERVAL_UNAVAILABLE,
            (Some(true), Some(_)) | (None, _) => INTERVAL_FAILING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates probes that time out after half a second while Kafka does not answer. Returns the changes with their
    /// times. All times are in milliseconds.
    fn play(silence: std::ops::Range<u64>, until: u64, all_down: bool) -> Vec<(u64, bool)> {
        let (mut breaker, mut changes, mut now) = (Breaker::default(), Vec::new(), 0);
        while now < until {
            let started = now;
            let answered = if silence.contains(&started) { silence.end } else { started };
            let is_accepting = answered < started + 500;
            now = answered.min(started + 500);
            let [started, ended] = [started, now].map(Duration::from_millis);
            let probe = Probe { started, ended, is_accepting, all_down: all_down && !is_accepting };
            changes.extend(breaker.record(probe, 0).map(|is| (now, is)));
            now += breaker.interval().as_millis() as u64;
        }
        changes
    }

    #[test]
    fn a_pause_of_up_to_a_second_opens_nothing() {
        for begin in (2000..3000).step_by(10) {
            for pause in [100, 500, 1000] {
                assert_eq!(play(begin..begin + pause, 8000, false), [(0, true)], "{pause} ms at {begin}");
            }
        }
    }

    #[test]
    fn the_breaker_opens_after_two_seconds_and_closes_at_once() {
        for begin in (2000..3000).step_by(10) {
            let changes = play(begin..begin + 30_000, 40_000, false);
            let [(0, true), (opened, false), (closed, true)] = changes.as_slice() else { panic!("{changes:?}") };
            assert!(opened - begin <= 2200, "opened after {} ms", opened - begin);
            assert!(closed - (begin + 30_000) <= 250, "closed after {} ms", closed - begin - 30_000);
        }
    }

    #[test]
    fn losing_all_connections_opens_the_breaker_at_once() {
        let changes = play(2000..10_000, 9000, true);
        assert_eq!(changes, [(0, true), (2500, false)]);
    }

    #[test]
    fn the_loss_of_all_connections_alone_opens_nothing() {
        let mut breaker = Breaker::default();
        let probe = Probe { started: Duration::ZERO, ended: Duration::ZERO, is_accepting: true, all_down: true };
        assert_eq!(breaker.record(probe, 0), Some(true));
        assert_eq!(breaker.record(probe, 0), None);
    }

    #[test]
    fn fast_failures_do_not_open_the_breaker_early() {
        let mut breaker = Breaker::default();
        let mut changes = Vec::new();
        for now in (0..3000).step_by(100) {
            let now = Duration::from_millis(now);
            let probe = Probe { started: now, ended: now, is_accepting: now.is_zero(), all_down: false };
            changes.extend(breaker.record(probe, 0).map(|is| (now.as_millis(), is)));
        }
        assert_eq!(changes, [(0, true), (1600, false)]);
    }

    #[test]
    fn start_without_kafka_is_reported_once_certain() {
        let changes = play(0..5000, 6000, false);
        let [(opened, false), (5000.., true)] = changes.as_slice() else { panic!("{changes:?}") };
        assert!((1500..=2000).contains(opened), "{opened}");
    }

    /// Simulates two minutes of probes that succeed in some seconds and fail in the others.
    fn flap(is_good: impl Fn(u64) -> bool, confirmed: impl Fn(u64) -> u64) -> Vec<(u64, bool)> {
        let (mut breaker, mut changes) = (Breaker::default(), Vec::new());
        for millis in (0..120_000).step_by(200) {
            let (now, second) = (Duration::from_millis(millis), millis / 1000);
            let (is_accepting, confirmed) = (is_good(second), confirmed(second));
            let probe = Probe { started: now, ended: now, is_accepting, all_down: false };
            changes.extend(breaker.record(probe, confirmed).map(|is| (second, is)));
        }
        changes
    }

    #[test]
    fn answers_without_a_confirmed_record_do_not_flap() {
        let changes = flap(|second| second % 4 < 2, |_| 0);
        // At the start, the first closing at once, one after a second, then none: no two seconds are good.
        assert_eq!(changes, [(0, true), (3, false), (4, true), (7, false), (9, true), (11, false)]);
    }

    #[test]
    fn a_confirmed_record_makes_the_next_closing_immediate() {
        let changes = flap(|second| second % 4 < 2, |second| second / 4);
        let closings: Vec<_> = changes.iter().filter(|(_, available)| *available).map(|(second, _)| *second).collect();
        assert_eq!(closings, (0..30).map(|episode| episode * 4).collect::<Vec<_>>());
    }

    #[test]
    fn a_minute_of_good_answers_makes_the_next_closing_immediate() {
        let changes = flap(|second| ![2, 3, 6, 7, 80, 81].contains(&second), |_| 0);
        assert_eq!(changes.get(4..), Some([(9, true), (81, false), (82, true)].as_slice()), "{changes:?}");
    }
}
