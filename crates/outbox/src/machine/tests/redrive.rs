//! Events that an operator tries again.

use super::*;

/// An outbox whose only event waits in the journal for the end of a back-off of 250 ms, after a failure at 0.
fn harness_in_back_off() -> Harness {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    harness.outbox.replay();
    harness.load_whole(0);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 0);
    assert_eq!(harness.issued(), []);
    harness
}

fn blocked_by(outcome: RedriveOutcome) -> Option<(WaitReason, u8)> {
    match outcome {
        RedriveOutcome::Blocked(head) => Some((head.reason, head.attempts)),
        RedriveOutcome::Started | RedriveOutcome::NotWaiting | RedriveOutcome::Unknown => None,
    }
}

#[test]
fn a_redriven_head_in_back_off_is_read_back_at_once() {
    let mut harness = harness_in_back_off();
    assert_eq!(harness.redrive(0), RedriveOutcome::Started);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    assert_eq!(harness.redrive(0), RedriveOutcome::NotWaiting, "it is being read");
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 1);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Whole)]);
    assert_eq!(harness.redrive(0), RedriveOutcome::NotWaiting, "it is with the producer");
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 2);
    assert_eq!(harness.issued(), [Issued::Delete(0)]);
    assert_eq!(harness.redrive(0), RedriveOutcome::Unknown);
    harness.outbox.tick(1_000);
    assert_eq!(harness.issued(), [], "the old back-off does not count");
}

#[test]
fn a_redriven_head_in_memory_is_handed_over_at_once() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..1);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::QueueFull, 0);
    assert_eq!(harness.issued(), []);
    assert_eq!(harness.redrive(0), RedriveOutcome::Started);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Whole)]);
}

#[test]
fn a_redriven_head_of_a_closed_partition_is_tried_at_once() {
    let mut harness = harness_in_back_off();
    harness.outbox.tick(250);
    harness.load_whole(250);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::NotSent(FailureCode::PartitionUnavailable), 250);
    assert_eq!(harness.redrive(0), RedriveOutcome::Started);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
}

#[test]
fn a_redriven_head_holds_no_slot_of_its_former_attempt() {
    let mut harness = Harness::new(100);
    harness.outbox.replay_slots.set_max_bytes(100);
    harness.outbox.recover([entry(0, 0, 0, 500), entry(1, 1, 0, 100)], Seq(2));
    harness.outbox.hold_lanes([LaneKey(1)]);
    harness.load_whole(0);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 0);
    assert_eq!(harness.issued(), [], "it backs off");
    assert_eq!(harness.redrive(0), RedriveOutcome::Started);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    harness.outbox.hold_lanes([]);
    assert_eq!(harness.issued(), [], "the other event does not fit beside it");
    assert_eq!(blocked_by(harness.redrive(1)), Some((WaitReason::ReplayPending, 0)));
}

#[test]
fn a_redriven_head_goes_before_all_others_that_wait() {
    let mut harness = Harness::new(100);
    harness.outbox.recover((0..20).map(|number| entry(number, number, 0, 1)), Seq(20));
    harness.outbox.replay();
    harness.issued();
    assert_eq!(blocked_by(harness.redrive(19)), Some((WaitReason::ReplayPending, 0)), "all replay slots are taken");
    harness.outbox.loaded(harness.handles[0], Loaded::Found(Form::Whole), 0);
    harness.issued();
    harness.outbox.report(harness.handles[0], 0, DeliveryReport::Confirmed, 0);
    assert_eq!(harness.issued(), [Issued::Delete(0)]);
    assert_eq!(harness.redrive(19), RedriveOutcome::Started);
    assert_eq!(harness.issued(), [Issued::Load(19)]);
}

#[test]
fn a_redrive_does_not_override_what_forbids_publishing() {
    let mut harness = harness_in_back_off();
    harness.outbox.set_kafka_available(false);
    harness.outbox.set_may_publish(false);
    assert_eq!(blocked_by(harness.redrive(0)), Some((WaitReason::KafkaUnavailable, 1)));
    harness.outbox.hold_lanes([LaneKey(0)]);
    harness.outbox.set_may_publish(true);
    assert_eq!(blocked_by(harness.redrive(0)), Some((WaitReason::OtherReplica, 1)));
    assert_eq!(harness.issued(), []);
    harness.outbox.hold_lanes([]);
    assert_eq!(harness.issued(), [Issued::Load(0)], "no longer in back-off");
    harness.outbox.cluster_replaced();
    harness.outbox.loaded(harness.last(), Loaded::Unavailable, 0);
    assert_eq!(blocked_by(harness.redrive(0)), Some((WaitReason::ReplayPending, 2)), "the topics are read first");
    assert_eq!(harness.issued(), []);
    harness.outbox.enable_replay();
    assert_eq!(harness.issued(), [Issued::Load(0)]);
}

#[test]
fn a_redriven_event_behind_another_keeps_its_place() {
    let mut harness = harness_in_back_off();
    harness.admit_one(1, 0, 1, Form::Whole);
    harness.issued();
    assert_eq!(harness.redrive(1), RedriveOutcome::NotWaiting);
    assert_eq!(harness.issued(), []);
}
