//! When Kafka counts as away: a pure decision over the answers to the watch's questions. It knows no clock and asks nobody.
//!
//! To open by mistake costs little (events take the way over the journal), to open late costs every event of that time
//! its answer's deadline. A broker that collects garbage for half a second must not open it, an outage must within about
//! two seconds: so it opens after at least [`FAILURES`] failed questions in a row that span [`MIN_SILENCE`]. It closes at
//! the first good answer, because a record that was given too early is only waited for.

use std::time::Duration;

/// How many questions in a row must fail.
const FAILURES: u32 = 3;
/// How long Kafka must have failed, counted from when the first of them was asked.
const MIN_SILENCE: Duration = Duration::from_millis(1500);

/// How long answers must be good before it closes again, if no record was confirmed since it closed before.
const MIN_HOLD: Duration = Duration::from_secs(1);
const MAX_HOLD: Duration = Duration::from_secs(30);
/// How long it must have been closed to count as proof, if there are no records.
const STEADY: Duration = Duration::from_secs(60);

/// How long the watch rests between two questions: while all is well, while there is doubt, while Kafka is away.
const INTERVAL_AVAILABLE: Duration = Duration::from_millis(500);
const INTERVAL_FAILING: Duration = Duration::from_millis(100);
const INTERVAL_UNAVAILABLE: Duration = Duration::from_millis(250);

/// One question, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// When it was asked, by a clock that only goes forward.
    pub(super) asked: Duration,
    /// When it ended, by the same clock.
    pub(super) ended: Duration,
    /// Whether the answer says that records can be taken.
    pub(super) takes: bool,
    /// Whether, since the last good answer, the connections to all brokers were reported as lost.
    pub(super) all_down: bool,
    /// How many records were confirmed so far.
    pub(super) confirmed: u64,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    available: Option<bool>,
    failing: Option<Failing>,
    /// Since when all answers are good.
    good_since: Option<Duration>,
    /// When it has closed.
    closed: Option<Duration>,
    /// How many records were confirmed at the last look.
    confirmed: u64,
    /// How often it has closed since the last proof that records are taken.
    unproved: u32,
}

#[derive(Debug)]
struct Failing {
    since: Duration,
    questions: u32,
}

impl Breaker {
    /// Takes a question's end in; says whether Kafka is available, where that is news.
    pub(super) fn record(&mut self, question: Probe) -> Option<bool> {
        self.note_proof(&question);
        let available = if question.takes {
            self.failing = None;
            let good_since = *self.good_since.get_or_insert(question.asked);
            if self.available == Some(false) && question.ended.saturating_sub(good_since) < self.hold() {
                return None;
            }
            true
        } else {
            self.good_since = None;
            let failing = self.failing.get_or_insert(Failing { since: question.asked, questions: 0 });
            failing.questions = failing.questions.saturating_add(1);
            let long = question.ended.saturating_sub(failing.since) >= MIN_SILENCE;
            let sure = question.all_down || (long && failing.questions >= FAILURES);
            if !sure {
                return None;
            }
            false
        };
        let is_news = self.available.replace(available) != Some(available);
        if is_news && available {
            self.closed = Some(question.ended);
            self.unproved = self.unproved.saturating_add(1);
        }
        is_news.then_some(available)
    }

    /// Looks for proof that the cluster takes records, and does not only answer.
    fn note_proof(&mut self, question: &Probe) {
        let is_confirmed = std::mem::replace(&mut self.confirmed, question.confirmed) != question.confirmed;
        let is_steady = self.available == Some(true)
            && self.failing.is_none()
            && self.closed.is_some_and(|closed| question.asked.saturating_sub(closed) >= STEADY);
        if is_confirmed || is_steady {
            self.unproved = 0;
        }
    }

    /// How long answers must be good before it closes. Nothing after the first opening.
    fn hold(&self) -> Duration {
        match self.unproved {
            0 | 1 => Duration::ZERO,
            more => MIN_HOLD.saturating_mul(2_u32.saturating_pow(more - 2)).min(MAX_HOLD),
        }
    }

    /// How long to rest before the next question.
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

    /// Plays questions that time out after half a second while Kafka is silent, from `silence` on for so long; says at
    /// what time which news came. All in milliseconds.
    fn play(silence: std::ops::Range<u64>, until: u64, all_down: bool) -> Vec<(u64, bool)> {
        let (mut breaker, mut news, mut now) = (Breaker::default(), Vec::new(), 0);
        while now < until {
            let asked = now;
            let answered = if silence.contains(&asked) { silence.end } else { asked };
            let takes = answered < asked + 500;
            now = answered.min(asked + 500);
            let [asked, ended] = [asked, now].map(Duration::from_millis);
            news.extend(
                breaker
                    .record(Probe { asked, ended, takes, all_down: all_down && !takes, confirmed: 0 })
                    .map(|is| (now, is)),
            );
            now += breaker.interval().as_millis() as u64;
        }
        news
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
            let news = play(begin..begin + 30_000, 40_000, false);
            let [(0, true), (opened, false), (closed, true)] = news.as_slice() else { panic!("{news:?}") };
            assert!(opened - begin <= 2200, "opened after {} ms", opened - begin);
            assert!(closed - (begin + 30_000) <= 250, "closed after {} ms", closed - begin - 30_000);
        }
    }

    #[test]
    fn losing_all_connections_opens_the_breaker_at_once() {
        let news = play(2000..10_000, 9000, true);
        assert_eq!(news, [(0, true), (2500, false)]);
    }

    #[test]
    fn the_loss_of_all_connections_alone_opens_nothing() {
        let mut breaker = Breaker::default();
        let question =
            Probe { asked: Duration::ZERO, ended: Duration::ZERO, takes: true, all_down: true, confirmed: 0 };
        assert_eq!(breaker.record(question), Some(true));
        assert_eq!(breaker.record(question), None);
    }

    #[test]
    fn fast_failures_do_not_open_the_breaker_early() {
        let mut breaker = Breaker::default();
        let mut news = Vec::new();
        for now in (0..3000).step_by(100) {
            let now = Duration::from_millis(now);
            let question = Probe { asked: now, ended: now, takes: now.is_zero(), all_down: false, confirmed: 0 };
            news.extend(breaker.record(question).map(|is| (now.as_millis(), is)));
        }
        assert_eq!(news, [(0, true), (1600, false)]);
    }

    #[test]
    fn a_start_without_kafka_is_told_once_it_is_sure() {
        let news = play(0..5000, 6000, false);
        let [(opened, false), (5000.., true)] = news.as_slice() else { panic!("{news:?}") };
        assert!((1500..=2000).contains(opened), "{opened}");
    }
    /// Two minutes of answers that are good in some seconds, and fail in the others.
    fn flap(is_good: impl Fn(u64) -> bool, confirmed: impl Fn(u64) -> u64) -> Vec<(u64, bool)> {
        let (mut breaker, mut news) = (Breaker::default(), Vec::new());
        for millis in (0..120_000).step_by(200) {
            let (now, second) = (Duration::from_millis(millis), millis / 1000);
            let (takes, confirmed) = (is_good(second), confirmed(second));
            let question = Probe { asked: now, ended: now, takes, all_down: false, confirmed };
            news.extend(breaker.record(question).map(|is| (second, is)));
        }
        news
    }

    #[test]
    fn answers_without_a_confirmed_record_do_not_flap() {
        let news = flap(|second| second % 4 < 2, |_| 0);
        // At the start, the first closing at once, one after a second, and none any more: two seconds are never good.
        assert_eq!(news, [(0, true), (3, false), (4, true), (7, false), (9, true), (11, false)]);
    }

    #[test]
    fn a_confirmed_record_makes_the_next_closing_immediate() {
        let news = flap(|second| second % 4 < 2, |second| second / 4);
        let closings: Vec<_> = news.iter().filter(|(_, available)| *available).map(|(second, _)| *second).collect();
        assert_eq!(closings, (0..30).map(|episode| episode * 4).collect::<Vec<_>>());
    }

    #[test]
    fn a_minute_of_good_answers_makes_the_next_closing_immediate() {
        let news = flap(|second| ![2, 3, 6, 7, 80, 81].contains(&second), |_| 0);
        assert_eq!(news.get(4..), Some([(9, true), (81, false), (82, true)].as_slice()), "{news:?}");
    }
}
