//! Events that an operator tries again.

use super::*;

/// An outbox whose only event waits in the journal for the end of a back-off of 250 ms, after a failure at 0.
fn bench_in_back_off() -> Bench {
    let mut bench = Bench::new(100);
    bench.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    bench.outbox.replay();
    bench.load_whole(0);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 0);
    assert_eq!(bench.issued(), []);
    bench
}

fn blocked_by(outcome: RedriveOutcome) -> Option<(WaitReason, u8)> {
    match outcome {
        RedriveOutcome::Blocked(head) => Some((head.reason, head.attempts)),
        RedriveOutcome::Started | RedriveOutcome::NotWaiting | RedriveOutcome::Unknown => None,
    }
}

#[test]
fn a_redriven_head_in_back_off_is_read_back_at_once() {
    let mut bench = bench_in_back_off();
    assert_eq!(bench.redrive(0), RedriveOutcome::Started);
    assert_eq!(bench.issued(), [Issued::Load(0)]);
    assert_eq!(bench.redrive(0), RedriveOutcome::NotWaiting, "it is being read");
    bench.outbox.loaded(bench.last(), Loaded::Found(Form::Whole), 1);
    assert_eq!(bench.issued(), [Issued::Produce(0, Form::Whole)]);
    assert_eq!(bench.redrive(0), RedriveOutcome::NotWaiting, "it is with the producer");
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 2);
    assert_eq!(bench.issued(), [Issued::Forget(0)]);
    assert_eq!(bench.redrive(0), RedriveOutcome::Unknown);
    bench.outbox.tick(1_000);
    assert_eq!(bench.issued(), [], "the old back-off does not count");
}

#[test]
fn a_redriven_head_in_memory_is_handed_over_at_once() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::QueueFull, 0);
    assert_eq!(bench.issued(), []);
    assert_eq!(bench.redrive(0), RedriveOutcome::Started);
    assert_eq!(bench.issued(), [Issued::Produce(0, Form::Whole)]);
}

#[test]
fn a_redriven_head_of_a_closed_partition_is_tried_at_once() {
    let mut bench = bench_in_back_off();
    bench.outbox.tick(250);
    bench.load_whole(250);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::NotSent(FailureCode::PartitionUnavailable), 250);
    assert_eq!(bench.redrive(0), RedriveOutcome::Started);
    assert_eq!(bench.issued(), [Issued::Load(0)]);
}

#[test]
fn a_redriven_head_holds_no_slot_of_its_former_attempt() {
    let mut bench = Bench::new(100);
    bench.outbox.replay_slots.set_max_bytes(100);
    bench.outbox.recover([entry(0, 0, 0, 500), entry(1, 1, 0, 100)], Seq(2));
    bench.outbox.hold_lanes([LaneKey(1)]);
    bench.load_whole(0);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 0);
    assert_eq!(bench.issued(), [], "it backs off");
    assert_eq!(bench.redrive(0), RedriveOutcome::Started);
    assert_eq!(bench.issued(), [Issued::Load(0)]);
    bench.outbox.hold_lanes([]);
    assert_eq!(bench.issued(), [], "the other event does not fit beside it");
    assert_eq!(blocked_by(bench.redrive(1)), Some((WaitReason::ReplayPending, 0)));
}

#[test]
fn a_redriven_head_goes_before_all_others_that_wait() {
    let mut bench = Bench::new(100);
    bench.outbox.recover((0..20).map(|number| entry(number, number, 0, 1)), Seq(20));
    bench.outbox.replay();
    bench.issued();
    assert_eq!(blocked_by(bench.redrive(19)), Some((WaitReason::ReplayPending, 0)), "all replay slots are taken");
    bench.outbox.loaded(bench.handles[0], Loaded::Found(Form::Whole), 0);
    bench.issued();
    bench.outbox.report(bench.handles[0], 0, DeliveryReport::Confirmed, 0);
    assert_eq!(bench.issued(), [Issued::Forget(0)]);
    assert_eq!(bench.redrive(19), RedriveOutcome::Started);
    assert_eq!(bench.issued(), [Issued::Load(19)]);
}

#[test]
fn a_redrive_does_not_override_what_forbids_publishing() {
    let mut bench = bench_in_back_off();
    bench.outbox.set_kafka_available(false);
    bench.outbox.set_may_publish(false);
    assert_eq!(blocked_by(bench.redrive(0)), Some((WaitReason::KafkaUnavailable, 1)));
    bench.outbox.hold_lanes([LaneKey(0)]);
    bench.outbox.set_may_publish(true);
    assert_eq!(blocked_by(bench.redrive(0)), Some((WaitReason::OtherReplica, 1)));
    assert_eq!(bench.issued(), []);
    bench.outbox.hold_lanes([]);
    assert_eq!(bench.issued(), [Issued::Load(0)], "no longer in back-off");
    bench.outbox.cluster_replaced();
    bench.outbox.loaded(bench.last(), Loaded::Unavailable, 0);
    assert_eq!(blocked_by(bench.redrive(0)), Some((WaitReason::ReplayPending, 2)), "the topics are read first");
    assert_eq!(bench.issued(), []);
    bench.outbox.enable_replay();
    assert_eq!(bench.issued(), [Issued::Load(0)]);
}

#[test]
fn a_redriven_event_behind_another_keeps_its_place() {
    let mut bench = bench_in_back_off();
    bench.admit_one(1, 0, 1, Form::Whole);
    bench.issued();
    assert_eq!(bench.redrive(1), RedriveOutcome::NotWaiting);
    assert_eq!(bench.issued(), []);
}
