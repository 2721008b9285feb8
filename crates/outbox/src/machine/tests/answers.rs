//! When a request is answered, and when its events are written.

use super::*;

#[test]
fn a_burst_before_the_breaker_opens_leaves_memory_free() {
    let mut harness = Harness::new(4);
    harness.admit("burst", 0..4);
    harness.issued();
    assert_eq!(harness.admit("full", 4..5), [Admitted::Known(Verdict::Overloaded)]);
    harness.outbox.set_may_publish(false);
    harness.outbox.written((0..4).map(Seq));
    assert_eq!(harness.outbox.events_in_memory(), 0, "the journal has them, and the producer");
    assert_eq!(harness.admit("after", 5..9), [Admitted::New; 4]);
}

#[test]
fn an_opening_breaker_answers_once_events_are_durable() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..2);
    harness.issued();
    harness.outbox.set_may_publish(false);
    assert_eq!(harness.issued(), [Issued::Write(0), Issued::Write(1)]);
    harness.outbox.written([Seq(0)]);
    assert_eq!(harness.issued(), []);
    harness.outbox.written([Seq(1)]);
    assert_eq!(harness.issued(), [Issued::Answer("waits", vec![Verdict::NotConfirmed; 2])]);
}

#[test]
fn a_report_between_the_write_and_the_answer_makes_it_a_success() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..1);
    harness.issued();
    harness.outbox.tick(7_500);
    assert_eq!(harness.issued(), [Issued::Write(0)]);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 7_501);
    assert_eq!(harness.issued(), [Issued::Cancel(0), Issued::Answer("waits", vec![Verdict::Confirmed])]);
    harness.outbox.written([Seq(0)]);
    assert_eq!(harness.issued(), [Issued::Delete(0)], "only now is there an entry");
}

#[test]
fn entries_that_failed_to_sync_are_deleted_later() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..1);
    harness.outbox.tick(7_500);
    harness.issued();
    harness.outbox.rejected([Seq(0)]);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 8_000);
    assert_eq!(harness.issued(), [Issued::Delete(0), Issued::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn the_memory_half_full_has_new_events_written_at_once() {
    let mut harness = Harness::new(4);
    harness.admit("early", 0..2);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Whole), Issued::Produce(1, Form::Whole)]);
    harness.admit("late", 2..3);
    assert_eq!(harness.issued(), [Issued::Produce(2, Form::Whole), Issued::Write(2)]);
}

#[test]
fn prompt_event_is_answered_as_soon_as_it_is_durable() {
    let mut harness = Harness::new(100);
    let key = EventKey::of("app", "0");
    let new_event = NewEvent {
        key,
        lane: LaneKey(0),
        event_time: 0,
        obstacle: Some(FailureCode::PartitionUnavailable),
        publication: Arc::new(Form::Whole),
    };
    harness.outbox.admit([new_event], "prompt", SOON);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Whole), Issued::Write(0)]);
    harness.outbox.written([Seq(0)]);
    assert_eq!(harness.issued(), [Issued::Answer("prompt", vec![Verdict::NotConfirmed])]);
}
