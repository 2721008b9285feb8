//! Single cases of the machine that are worth reading; the simulation tries them all.

use super::*;
use crate::outbox::event::{Loaded, Recovered};
use crate::outbox::{FailureCode, LaneKey, Learned, Report, WaitReason};
use crate::prepare::Reason;

/// An event in its first form, or as a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    /// A whole event of two records.
    Pair,
    Letter,
}

impl Parcel for Form {
    fn records(&self) -> u8 {
        if *self == Self::Pair { 2 } else { 1 }
    }

    fn bytes(&self) -> usize {
        1
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Whole | Self::Pair => Verdict::Confirmed,
            Self::Letter => Verdict::DeadLettered(Reason::RefusedByBroker),
        }
    }

    fn smaller(&self) -> Option<Self> {
        (*self != Self::Letter).then_some(Self::Letter)
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

/// An entry of the journal, in the lane of that number.
fn entry(seq: u64, lane: u64, event_time: i64, bytes: usize) -> Recovered {
    Recovered { seq: Seq(seq), key: EventKey::of("app", &seq.to_string()), lane: LaneKey(lane), event_time, bytes }
}

struct Bench {
    outbox: Outbox<Form, &'static str>,
    tokens: Vec<Token>,
    /// Which records the last command to produce leaves out.
    confirmed: u8,
}

impl Bench {
    fn new(events: usize) -> Self {
        let mut outbox = Outbox::new(Limits { events, bytes: 1 << 20, replay: 8, replay_bytes: 1 << 20 });
        outbox.release();
        Self { outbox, tokens: Vec::new(), confirmed: 0 }
    }

    /// Events by number, each in a lane of its own.
    fn admit(&mut self, who: &'static str, events: std::ops::Range<u64>) -> Vec<Admitted> {
        let arrivals = events.map(|event| Arrival {
            key: EventKey::of("app", &event.to_string()),
            lane: LaneKey(event),
            event_time: 0,
            prompt: false,
            parcel: Form::Whole,
        });
        self.outbox.admit(arrivals, who, SOON).1
    }

    fn admit_one(&mut self, event: u64, lane: u64, event_time: i64, parcel: Form) {
        let key = EventKey::of("app", &event.to_string());
        let arrival = Arrival { key, lane: LaneKey(lane), event_time, prompt: false, parcel };
        self.outbox.admit([arrival], "one", SOON);
    }

    fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        for command in self.outbox.commands() {
            said.push(match command {
                Command::Produce(token, form, confirmed) => {
                    self.confirmed = confirmed;
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
    bench.outbox.report(bench.last(), 0, Report::Confirmed, 7_501);
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
    bench.outbox.report(bench.last(), 0, Report::Confirmed, 8_000);
    assert_eq!(bench.said(), [Said::Forget(0), Said::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn a_refused_record_that_only_the_journal_has_is_read_back_for_its_dead_letter_which_stays_in_its_place() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.outbox.tick(7_500);
    bench.outbox.written([Seq(0)]);
    bench.said();
    bench.outbox.report(bench.last(), 0, Report::Refused(FailureCode::RecordTooLarge), 8_000);
    assert_eq!(bench.said(), [Said::Load(0)]);
    bench.outbox.loaded(bench.last(), Loaded::Found(Form::Whole), 8_001);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Letter)]);
    bench.outbox.report(bench.last(), 0, Report::Failed(FailureCode::TimedOut), 8_002);
    bench.outbox.tick(8_499);
    assert_eq!(bench.said(), [Said::Load(0)]);
    bench.outbox.loaded(bench.last(), Loaded::Found(Form::Whole), 8_499);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Letter)], "the whole one was refused once, that is enough");
    bench.outbox.report(bench.last(), 0, Report::Confirmed, 8_499);
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
    let entries = (0..20).map(|number| entry(number, number, 0, 1));
    bench.outbox.recover(entries, Seq(20));
    bench.outbox.replay();
    assert_eq!(bench.said(), (0..8).map(Said::Load).collect::<Vec<_>>(), "as many as may be at a time");
    let stuck = std::mem::take(&mut bench.tokens);
    stuck.iter().for_each(|token| bench.outbox.loaded(*token, Loaded::Found(Form::Whole), 0));
    bench.said();
    bench.outbox.tick(1_999);
    assert_eq!(bench.said(), []);
    bench.outbox.tick(2_000);
    assert_eq!(bench.said(), (8..16).map(Said::Load).collect::<Vec<_>>(), "those after them have waited long enough");
    // The two minutes of the first are over. They come after those that nobody has tried yet.
    stuck.iter().for_each(|token| bench.outbox.report(*token, 0, Report::Failed(FailureCode::TimedOut), 120_000));
    bench.outbox.tick(121_000);
    assert_eq!(bench.said(), []);
    let others = std::mem::take(&mut bench.tokens).split_off(8);
    others.iter().for_each(|token| bench.outbox.loaded(*token, Loaded::Found(Form::Whole), 121_000));
    others.iter().for_each(|token| bench.outbox.report(*token, 0, Report::Confirmed, 121_001));
    let loads: Vec<_> = bench.said().into_iter().filter(|said| matches!(said, Said::Load(_))).collect();
    assert_eq!(loads[..4], [16, 17, 18, 19].map(Said::Load));
}

#[test]
fn confirmed_record_is_not_sent_again_with_its_sibling() {
    let mut bench = Bench::new(100);
    bench.admit_one(1, 1, 0, Form::Pair);
    bench.said();
    bench.outbox.report(bench.last(), 0, Report::Confirmed, 0);
    bench.outbox.report(bench.last(), 1, Report::Failed(FailureCode::UnknownTopic), 0);
    bench.outbox.tick(250);
    bench.said();
    assert_eq!(bench.confirmed, 0b01);
    bench.outbox.report(bench.last(), 1, Report::Confirmed, 260);
    assert!(bench.said().contains(&Said::Answer("one", vec![Verdict::Confirmed])));
}

#[test]
fn record_found_in_its_topic_is_not_sent_after_a_restart() {
    let mut bench = Bench::new(100);
    bench.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    bench.outbox.learn(EventKey::of("app", "0"), Learned::Record(0), 0);
    bench.outbox.replay();
    bench.said();
    bench.outbox.loaded(bench.last(), Loaded::Found(Form::Pair), 0);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Pair)]);
    assert_eq!(bench.confirmed, 0b01);
    bench.outbox.report(bench.last(), 1, Report::Confirmed, 0);
    assert_eq!(bench.said(), [Said::Forget(0)]);
}

#[test]
fn events_of_an_outage_go_out_in_order_of_their_time() {
    let mut bench = Bench::new(100);
    bench.outbox.connected(false);
    for (event, event_time) in [(0, 20), (1, 30), (2, 10), (3, 20)] {
        bench.admit_one(event, 7, event_time, Form::Whole);
    }
    bench.said();
    bench.outbox.connected(true);
    let mut order = Vec::new();
    for _ in 0..4 {
        let produced = bench.said().into_iter().find_map(|said| match said {
            Said::Produce(seq, _) => Some(seq),
            Said::Write(_) | Said::Forget(_) | Said::Load(_) | Said::Answer(..) => None,
        });
        order.extend(produced);
        bench.outbox.report(bench.last(), 0, Report::Confirmed, 0);
    }
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn journal_is_sorted_by_event_time_at_the_start() {
    let mut bench = Bench::new(100);
    bench.outbox.recover([entry(0, 7, 30, 1), entry(1, 7, 10, 1), entry(2, 7, 20, 1)], Seq(3));
    bench.outbox.replay();
    assert_eq!(bench.said(), [Said::Load(1)]);
}

#[test]
fn replay_holds_no_more_bytes_than_its_budget() {
    let mut bench = Bench::new(100);
    bench.outbox.limits.replay_bytes = 100;
    bench.outbox.recover([entry(0, 0, 0, 60), entry(1, 1, 0, 60), entry(2, 2, 0, 500), entry(3, 3, 0, 1)], Seq(4));
    bench.outbox.replay();
    for seq in 0..3 {
        assert_eq!(bench.said(), [Said::Load(seq)], "the next does not fit beside it");
        bench.outbox.loaded(bench.last(), Loaded::Found(Form::Whole), 0);
        bench.said();
        bench.outbox.report(bench.last(), 0, Report::Confirmed, 0);
        let forgotten = bench.outbox.commands.remove(0);
        assert!(matches!(forgotten, Command::Forget(Seq(gone)) if gone == seq));
    }
    assert_eq!(bench.said(), [Said::Load(3)]);
}

#[test]
fn held_lane_is_journaled_and_answered_while_others_go_on() {
    let mut bench = Bench::new(100);
    bench.outbox.hold_lanes([LaneKey(1)]);
    bench.admit("held", 1..2);
    assert_eq!(bench.said(), [Said::Write(0)]);
    bench.admit("free", 2..3);
    assert_eq!(bench.said(), [Said::Produce(1, Form::Whole)]);
    bench.outbox.written([Seq(0)]);
    assert_eq!(bench.said(), [Said::Answer("held", vec![Verdict::NotConfirmed])]);
    assert_eq!(bench.outbox.waiting_heads(9).first().map(|head| head.reason), Some(WaitReason::OtherReplica));
    bench.outbox.hold_lanes([]);
    assert_eq!(bench.said(), [Said::Load(0)]);
}

#[test]
fn failure_after_another_replica_published_is_a_success() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.said();
    bench.outbox.learn(EventKey::of("app", "0"), Learned::Whole(Verdict::Confirmed), 0);
    assert_eq!(bench.said(), [], "the producer still has it");
    bench.outbox.report(bench.last(), 0, Report::Failed(FailureCode::TimedOut), 1);
    assert_eq!(bench.said(), [Said::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn unreadable_journal_is_asked_again_soon() {
    let mut bench = Bench::new(100);
    bench.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    bench.outbox.replay();
    bench.said();
    bench.outbox.loaded(bench.last(), Loaded::Unavailable, 1_000);
    let head = bench.outbox.waiting_heads(1)[0];
    assert_eq!(head.reason, WaitReason::Failed(FailureCode::JournalUnreadable));
    assert_eq!((head.attempts, head.failing_since), (1, Some(1_000)));
    bench.outbox.tick(1_250);
    assert_eq!(bench.said(), [Said::Load(0)]);
}

#[test]
fn prompt_event_is_answered_as_soon_as_it_is_durable() {
    let mut bench = Bench::new(100);
    let key = EventKey::of("app", "0");
    let arrival = Arrival { key, lane: LaneKey(0), event_time: 0, prompt: true, parcel: Form::Whole };
    bench.outbox.admit([arrival], "prompt", SOON);
    assert_eq!(bench.said(), [Said::Produce(0, Form::Whole), Said::Write(0)]);
    bench.outbox.written([Seq(0)]);
    assert_eq!(bench.said(), [Said::Answer("prompt", vec![Verdict::NotConfirmed])]);
}

#[test]
fn event_leaves_the_middle_of_its_lane() {
    let mut bench = Bench::new(100);
    for event in 0..4 {
        bench.admit_one(event, 7, 0, Form::Whole);
    }
    for event in [2, 3, 1] {
        bench.outbox.learn(EventKey::of("app", &event.to_string()), Learned::Whole(Verdict::Confirmed), 0);
    }
    bench.admit_one(4, 7, 0, Form::Whole);
    bench.said();
    bench.outbox.report(bench.last(), 0, Report::Confirmed, 0);
    assert!(bench.said().contains(&Said::Produce(4, Form::Whole)));
}
