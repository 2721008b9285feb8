//! The breaker: decides from the watch's probes when Kafka counts as unavailable. Pure, without a clock.
//!
//! Opening by mistake costs little, because events then go through the journal. Opening late costs every event of that
//! time its answer's deadline. A broker that pauses for garbage collection for half a second must not open the
//! breaker, and an outage must open it within about two seconds. So it opens after at least [`FAILURES`] failed probes
//! in a row that span [`MIN_SILENCE`]. It closes at the first successful probe, because a record that is sent too
//! early only waits.

use std::time::Duration;

/// How many probes in a row must fail.
const FAILURES: u32 = 3;
/// How long Kafka must have failed, counted from the start of the first failed probe.
const MIN_SILENCE: Duration = Duration::from_millis(1500);

/// Interval between two probes: while Kafka is available, while it is in doubt, while it is unavailable.
const INTERVAL_AVAILABLE: Duration = Duration::from_millis(500);
const INTERVAL_FAILING: Duration = Duration::from_millis(100);
const INTERVAL_UNAVAILABLE: Duration = Duration::from_millis(250);

/// The result of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// When the probe started, on a monotonic clock.
    pub(super) asked: Duration,
    /// When it ended, on the same clock.
    pub(super) ended: Duration,
    /// True if the cluster accepts records.
    pub(super) takes: bool,
    /// True if the connections to all brokers were reported as lost since the last successful probe.
    pub(super) all_down: bool,
}

/// The state of the breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    available: Option<bool>,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Duration,
    probes: u32,
}

impl Breaker {
    /// Records a probe result. Returns the new availability if it changed.
    pub(super) fn record(&mut self, probe: Probe) -> Option<bool> {
        let available = if probe.takes {
            self.failing = None;
            true
        } else {
            let failing = self.failing.get_or_insert(Failing { since: probe.asked, probes: 0 });
            failing.probes = failing.probes.saturating_add(1);
            let long = probe.ended.saturating_sub(failing.since) >= MIN_SILENCE;
            let sure = probe.all_down || (long && failing.probes >= FAILURES);
            if !sure {
                return None;
            }
            false
        };
        (self.available.replace(available) != Some(available)).then_some(available)
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

    /// Simulates probes that time out after half a second while Kafka is silent during `silence`. Returns the changes
    /// with their times. All times are in milliseconds.
    fn play(silence: std::ops::Range<u64>, until: u64, all_down: bool) -> Vec<(u64, bool)> {
        let (mut breaker, mut changes, mut now) = (Breaker::default(), Vec::new(), 0);
        while now < until {
            let asked = now;
            let answered = if silence.contains(&asked) { silence.end } else { asked };
            let takes = answered < asked + 500;
            now = answered.min(asked + 500);
            let [asked, ended] = [asked, now].map(Duration::from_millis);
            changes.extend(
                breaker.record(Probe { asked, ended, takes, all_down: all_down && !takes }).map(|is| (now, is)),
            );
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
        let probe = Probe { asked: Duration::ZERO, ended: Duration::ZERO, takes: true, all_down: true };
        assert_eq!(breaker.record(probe), Some(true));
        assert_eq!(breaker.record(probe), None);
    }

    #[test]
    fn fast_failures_do_not_open_the_breaker_early() {
        let mut breaker = Breaker::default();
        let mut changes = Vec::new();
        for now in (0..3000).step_by(100) {
            let now = Duration::from_millis(now);
            let probe = Probe { asked: now, ended: now, takes: now.is_zero(), all_down: false };
            changes.extend(breaker.record(probe).map(|is| (now.as_millis(), is)));
        }
        assert_eq!(changes, [(0, true), (1600, false)]);
    }

    #[test]
    fn a_start_without_kafka_is_told_once_it_is_sure() {
        let changes = play(0..5000, 6000, false);
        let [(opened, false), (5000.., true)] = changes.as_slice() else { panic!("{changes:?}") };
        assert!((1500..=2000).contains(opened), "{opened}");
    }
}
