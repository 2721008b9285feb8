//! Single cases of the machine that are worth reading; the simulation tries them all.

use super::*;
use crate::outbox::{LaneKey, Report};
use crate::prepare::Reason;

/// An event in its first form, or as a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Letter,
}

impl Parcel for Form {
    fn records(&self) -> u8 {
        1
    }

    fn bytes(&self) -> usize {
        1
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Whole => Verdict::Confirmed,
            Self::Letter => Verdict::DeadLettered(Reason::RefusedByBroker),
        }
    }

    fn smaller(&self) -> Option<Self> {
        (*self == Self::Whole).then_some(Self::Letter)
    }
}

const SOON: Deadlines = Deadlines { write: 7_500, answer: 8_500 };

/// What the machine said, without what it said it of.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Produce(u64, Form),
    Write(u64),
    Forget(u64),
    Load(u64),
    Answer(&'static str, Vec<Verdict>),
}

struct Bench {
    outbox: Outbox<Form, &'static str>,
    tokens: Vec<Token>,
}

impl Bench {
    fn new(events: usize) -> Self {
        let mut outbox = Outbox::new(Limits { events, bytes: 1 << 20, replay: 8 });
        outbox.release();
        Self { outbox, tokens: Vec::new() }
    }

    /// Events by number, each in a lane of its own.
    fn admit(&mut self, who: &'static str, events: std::ops::Range<u64>) -> Vec<Admitted> {
        let arrivals = events.map(|event| Arrival {
            key: EventKey::of("app", &event.to_string()),
            lane: LaneKey(event),
            parcel: Form::Whole,
        });
        self.outbox.admit(arrivals, who, SOON).1
    }

    fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        for command in self.outbox.commands() {
            said.push(match command {
                Command::Produce(token, form) => {
                    self.tokens.push(token);
                    Said::Produce(token.seq.0, *form)
                }
                Command::Write(token, _) => Said::Write(token.seq.0),
                Command::Forget(seq) => Said::Forget(seq.0),
                Command::Load(token) => {
                    self.tokens.push(token);
                    Said::Load(token.seq.0)
                }
                Command::Answer(finished) => Said::Answer(finished.waiter, finished.verdicts),
            });
        }
        said
    }

    fn last(&self) -> Token {
        *self.tokens.last().unwrap()
    }
}

#[test]
fn a_burst_before_the_breaker_opens_leaves_room_for_what_comes_after() {
    let mut bench = Bench::new(4);
    bench.admit("burst", 0..4);
    bench.said();
    assert_eq!(bench.admit("full", 4..5), [Admitted::Known(Verdict::Overloaded)]);
    bench.outbox.connected(false);
    bench.outbox.written((0..4).map(Seq));
    assert_eq!(bench.outbox.held(), 0, "the journal has them, and the producer");
    assert_eq!(bench.admit("after", 5..9), [Admitted::New; 4]);
}

#[test]
fn whoever_waits_when_the_breaker_opens_is_answered_as_soon_as_the_journal_has_it() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..2);
    bench.said();
    bench.outbox.connected(false);
    assert_eq!(bench.said(), [Said::Write(0), Said::Write(1)]);
    bench.outbox.written([Seq(0)]);
    assert_eq!(bench.said(), []);
    bench.outbox.written([Seq(1)]);
    assert_eq!(bench.said(), [Said::Answer("waits", vec![Verdict::NotConfirmed; 2])]);
}

#[test]
fn a_report_between_the_write_and_the_answer_makes_it_a_success() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.said();
    bench.outbox.tick(7_500);
    assert_eq!(bench.said(), [Said::Write(0)]);
    bench.outbox.report(bench.last(), Report::Confirmed, 7_501);
    assert_eq!(bench.said(), [Said::Answer("waits", vec![Verdict::Confirmed])]);
    bench.outbox.written([Seq(0)]);
    assert_eq!(bench.said(), [Said::Forget(0)], "only now is there an entry");
}

#[test]
fn what_could_not_be_written_is_forgotten_too_because_it_can_be_on_the_disk() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.outbox.tick(7_500);
    bench.said();
    bench.outbox.refused([Seq(0)]);
    bench.outbox.report(bench.last(), Report::Confirmed, 8_000);
    assert_eq!(bench.said(), [Said::Forget(0), Said::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn a_refused_record_that_only_the_journal_has_is_read_back_for_its_dead_letter_which_stays_in_its_place() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.outbox.tick(7_500);
    bench.outbox.written([Seq(0)]);
    bench.said();
    bench.outbox.report(bench.last(), Report::Refused, 8_000);
    assert_eq!(bench.said(), [Said::Load(0)]);
    bench.outbox.loaded(bench.last(), Some(Form::Whole), 8_001);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Letter)]);
    bench.outbox.report(bench.last(), Report::Failed, 8_002);
    bench.outbox.tick(8_499);
    assert_eq!(bench.said(), [Said::Load(0)]);
    bench.outbox.loaded(bench.last(), Some(Form::Whole), 8_499);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Letter)], "the whole one was refused once, that is enough");
    bench.outbox.report(bench.last(), Report::Confirmed, 8_499);
    let verdict = Verdict::DeadLettered(Reason::RefusedByBroker);
    assert_eq!(bench.said(), [Said::Forget(0), Said::Answer("waits", vec![verdict])]);
}

#[test]
fn the_memory_half_full_has_new_events_written_at_once() {
    let mut bench = Bench::new(4);
    bench.admit("early", 0..2);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Whole), Said::Produce(1, Form::Whole)]);
    bench.admit("late", 2..3);
    assert_eq!(bench.said(), [Said::Produce(2, Form::Whole), Said::Write(2)]);
}

#[test]
fn records_for_a_partition_without_a_leader_do_not_keep_the_others_in_the_journal() {
    let mut bench = Bench::new(100);
    let entries = (0..20).map(|number| (Seq(number), EventKey::of("app", &number.to_string()), LaneKey(number)));
    bench.outbox.recover(entries, Seq(20));
    bench.outbox.replay();
    assert_eq!(bench.said(), (0..8).map(Said::Load).collect::<Vec<_>>(), "as many as may be at a time");
    let stuck = std::mem::take(&mut bench.tokens);
    stuck.iter().for_each(|token| bench.outbox.loaded(*token, Some(Form::Whole), 0));
    bench.said();
    bench.outbox.tick(1_999);
    assert_eq!(bench.said(), []);
    bench.outbox.tick(2_000);
    assert_eq!(bench.said(), (8..16).map(Said::Load).collect::<Vec<_>>(), "those after them have waited long enough");
    // The two minutes of the first are over. They come after those that nobody has tried yet.
    stuck.iter().for_each(|token| bench.outbox.report(*token, Report::Failed, 120_000));
    bench.outbox.tick(121_000);
    assert_eq!(bench.said(), []);
    let others = std::mem::take(&mut bench.tokens).split_off(8);
    others.iter().for_each(|token| bench.outbox.loaded(*token, Some(Form::Whole), 121_000));
    others.iter().for_each(|token| bench.outbox.report(*token, Report::Confirmed, 121_001));
    let loads: Vec<_> = bench.said().into_iter().filter(|said| matches!(said, Said::Load(_))).collect();
    assert_eq!(loads[..4], [16, 17, 18, 19].map(Said::Load));
}
