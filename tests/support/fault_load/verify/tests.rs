//! That the judge sees what it is there to see, on ledgers and records made by hand.

use super::super::ledger::{Contact, Sent};
use super::super::published::Position;
use super::*;

/// Events of one entity, each in its own callback, sent one after the other and answered so, a second each.
fn snapshot(said: &[End]) -> Arc<LedgerSnapshot> {
    let events = (0..said.len()).map(|number| sent(number, number)).collect();
    let contacts = said.iter().enumerate().map(|(event, end)| contact(&[event], event as u64, end.clone())).collect();
    Arc::new(LedgerSnapshot { events, contacts, callbacks: said.len() })
}

fn sent(number: usize, callback: usize) -> Sent {
    Sent { id: format!("evnt_{number}"), entity: "user_1".to_owned(), number: number as u64, callback }
}

fn contact(events: &[usize], began: u64, end: End) -> Contact {
    let ended_at = i64::try_from(began).unwrap() * 1000 + 900;
    let began = Duration::from_secs(began);
    Contact { events: events.to_vec(), began, ended: began + Duration::from_millis(900), ended_at, end }
}

fn answered(said: EventAnswer) -> End {
    End::Answered(vec![said])
}

fn success() -> End {
    answered(EventAnswer::Success)
}

/// These events in this order, each appended half a second after it was sent.
fn on_kafka(numbers: &[usize]) -> Vec<(String, Stored)> {
    let record = |(offset, number): (usize, &usize)| {
        let position = Position { topic: 0, partition: 0, offset: offset as i64 };
        let appended = Some(*number as i64 * 1000 + 500);
        let stored = Stored { position, appended, key: "user_1".to_owned(), number: Some(*number as u64), digest: 7 };
        (format!("evnt_{number}"), stored)
    };
    numbers.iter().enumerate().map(record).collect()
}

fn judged(snapshot: &Arc<LedgerSnapshot>, records: Vec<(String, Stored)>) -> Report {
    verify("test", snapshot, &Published::of(records), &Published::default())
}

#[test]
fn what_was_sent_answered_and_published_in_order_holds() {
    let report = judged(&snapshot(&[success(), success(), success()]), on_kafka(&[0, 1, 2]));
    assert_eq!(report.faults(), Vec::<String>::new());
    assert_eq!((report.sent, report.on_kafka, report.slowest), (3, 3, Duration::from_millis(900)));
}

#[test]
fn a_success_without_a_record_is_lost_and_false() {
    let report = judged(&snapshot(&[success(), success()]), on_kafka(&[0]));
    assert_eq!((&report.lost[..], &report.false_successes[..]), (&[1][..], &[1][..]));
}

#[test]
fn an_answer_before_the_record_is_a_false_success() {
    let mut records = on_kafka(&[0, 1]);
    records[1].1.appended = Some(1901);
    let report = judged(&snapshot(&[success(), success()]), records.clone());
    assert_eq!((report.lost.len(), &report.false_successes[..]), (0, &[1][..]));
    records[1].1.appended = Some(1900);
    assert!(judged(&snapshot(&[success(), success()]), records).false_successes.is_empty());
}

#[test]
fn unanswered_events_are_due_and_overloaded_ones_are_not() {
    for end in [answered(EventAnswer::NotConfirmed), End::Cut("cut off"), End::Refused(503, "draining".to_owned())] {
        assert_eq!(judged(&snapshot(&[success(), end]), on_kafka(&[0])).lost, [1]);
    }
    for end in [answered(EventAnswer::Overloaded), End::Refused(503, "overloaded".to_owned())] {
        let report = judged(&snapshot(&[success(), end]), on_kafka(&[0]));
        assert_eq!((report.lost.len(), report.refused), (0, 1));
    }
    let mut snapshot = snapshot(&[answered(EventAnswer::NotConfirmed)]);
    Arc::get_mut(&mut snapshot).unwrap().contacts.push(contact(&[0], 2, answered(EventAnswer::Overloaded)));
    assert_eq!(judged(&snapshot, Vec::new()).lost, [0], "accepted once is accepted for ever");
}

#[test]
fn an_event_before_an_earlier_accepted_one_is_out_of_order() {
    let unconfirmed = answered(EventAnswer::NotConfirmed);
    let report = judged(&snapshot(&[unconfirmed.clone(), unconfirmed.clone(), success()]), on_kafka(&[0, 2, 1]));
    assert_eq!(report.disorder, [2]);
    for end in [answered(EventAnswer::Overloaded), End::Cut("cut off"), End::Refused(503, "draining".to_owned())] {
        let report = judged(&snapshot(&[unconfirmed.clone(), end, success()]), on_kafka(&[0, 2, 1]));
        assert!(report.disorder.is_empty(), "what was not accepted may be overtaken");
    }
}

#[test]
fn what_was_sent_before_the_other_was_answered_may_overtake_it() {
    let mut snapshot = snapshot(&[success(), success()]);
    Arc::get_mut(&mut snapshot).unwrap().contacts[1].began = Duration::from_millis(800);
    assert!(judged(&snapshot, on_kafka(&[1, 0])).disorder.is_empty());
    Arc::get_mut(&mut snapshot).unwrap().contacts[1].began = Duration::from_millis(901);
    assert_eq!(judged(&snapshot, on_kafka(&[1, 0])).disorder, [1]);
}

#[test]
fn events_of_an_entity_keep_order_after_a_rejection() {
    let first = contact(&[0, 1], 0, End::Answered(vec![EventAnswer::Overloaded, EventAnswer::NotConfirmed]));
    let second = contact(&[0, 1], 2, End::Answered(vec![EventAnswer::Success, EventAnswer::Success]));
    let snapshot = LedgerSnapshot { events: vec![sent(0, 0), sent(1, 0)], contacts: vec![first, second], callbacks: 1 };
    let snapshot = Arc::new(snapshot);
    assert_eq!(judged(&snapshot, on_kafka(&[1, 0])).disorder, [1]);
    assert!(judged(&snapshot, on_kafka(&[0, 1])).disorder.is_empty());
}

#[test]
fn duplicates_are_counted_and_only_the_first_has_an_order() {
    let twice = |digest| {
        let mut records = on_kafka(&[0, 1, 0]);
        records[2].1.digest = digest;
        judged(&snapshot(&[success(), success()]), records)
    };
    let report = twice(7);
    assert_eq!((report.duplicates, report.faults()), (1, Vec::new()));
    assert_eq!(twice(8).unlike, [0]);
}

#[test]
fn another_key_or_number_than_was_sent_is_a_distortion() {
    for change in [|stored: &mut Stored| stored.number = Some(9), |stored: &mut Stored| stored.key.push('x')] {
        let mut records = on_kafka(&[0]);
        change(&mut records[0].1);
        assert_eq!(judged(&snapshot(&[success()]), records).distorted, [0]);
    }
}

#[test]
fn an_answer_too_late_or_one_that_nothing_calls_for_is_a_fault() {
    assert_eq!(judged(&snapshot(&[End::TooLate]), on_kafka(&[0])).late, [0]);
    for end in
        [answered(EventAnswer::Skipped), answered(EventAnswer::Nonsense), End::Refused(401, "bad_signature".to_owned())]
    {
        assert_eq!(judged(&snapshot(&[end]), on_kafka(&[0])).unexpected, [0]);
    }
}

#[test]
fn what_kafka_showed_and_has_no_more_is_told() {
    let along = Published::of(on_kafka(&[0, 1]));
    let report = verify("test", &snapshot(&[success()]), &Published::of(on_kafka(&[0])), &along);
    assert_eq!(report.forgotten, 1);
}

#[test]
fn a_fault_that_was_not_felt_is_a_complaint() {
    let mut report = judged(&snapshot(&[success()]), on_kafka(&[0]));
    report.must_have_said(&["success"]);
    assert!(report.faults().is_empty());
    report.must_have_said(&["overloaded", "not_confirmed"]);
    assert_eq!(report.faults().len(), 1);
}
