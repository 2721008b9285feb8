//! Events in their lanes: order, retries, and other replicas.

use super::*;

#[test]
fn confirmed_record_is_not_sent_again_with_its_sibling() {
    let mut bench = Bench::new(100);
    bench.admit_one(1, 1, 0, Form::Pair);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    bench.outbox.report(bench.last(), 1, DeliveryReport::Failed(FailureCode::UnknownTopic), 0);
    bench.outbox.tick(250);
    bench.issued();
    assert_eq!(bench.confirmed, 0b01);
    bench.outbox.report(bench.last(), 1, DeliveryReport::Confirmed, 260);
    assert!(bench.issued().contains(&Issued::Answer("one", vec![Verdict::Confirmed])));
}

#[test]
fn events_of_an_outage_go_out_in_order_of_their_time() {
    let mut bench = Bench::new(100);
    bench.outbox.set_may_publish(false);
    for (event, event_time) in [(0, 20), (1, 30), (2, 10), (3, 20)] {
        bench.admit_one(event, 7, event_time, Form::Whole);
    }
    bench.issued();
    bench.outbox.set_may_publish(true);
    let mut order = Vec::new();
    for _ in 0..4 {
        let produced = bench.issued().into_iter().find_map(|issued| match issued {
            Issued::Produce(seq, _) => Some(seq),
            Issued::Write(_) | Issued::Forget(_) | Issued::Cancel(_) | Issued::Load(_) | Issued::Answer(..) => None,
        });
        order.extend(produced);
        bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    }
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn held_lane_is_journaled_and_answered_while_others_go_on() {
    let mut bench = Bench::new(100);
    bench.outbox.hold_lanes([LaneKey(1)]);
    bench.admit("held", 1..2);
    assert_eq!(bench.issued(), [Issued::Write(0)]);
    bench.admit("free", 2..3);
    assert_eq!(bench.issued(), [Issued::Produce(1, Form::Whole)]);
    bench.outbox.written([Seq(0)]);
    assert_eq!(bench.issued(), [Issued::Answer("held", vec![Verdict::NotConfirmed])]);
    assert_eq!(bench.outbox.waiting_heads(9).first().map(|head| head.reason), Some(WaitReason::OtherReplica));
    bench.outbox.hold_lanes([]);
    assert_eq!(bench.issued(), [Issued::Load(0)]);
}

#[test]
fn failure_after_another_replica_published_is_a_success() {
    let mut bench = Bench::new(100);
    bench.admit("waits", 0..1);
    bench.issued();
    bench.outbox.mark_published(EventKey::of("app", "0"), Published::Whole(Verdict::Confirmed), 0);
    assert_eq!(bench.issued(), [], "the producer still has it");
    bench.outbox.report(bench.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 1);
    assert_eq!(bench.issued(), [Issued::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn event_leaves_the_middle_of_its_lane() {
    let mut bench = Bench::new(100);
    for event in 0..4 {
        bench.admit_one(event, 7, 0, Form::Whole);
    }
    for event in [2, 3, 1] {
        bench.outbox.mark_published(EventKey::of("app", &event.to_string()), Published::Whole(Verdict::Confirmed), 0);
    }
    bench.admit_one(4, 7, 0, Form::Whole);
    bench.issued();
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(bench.issued().contains(&Issued::Produce(4, Form::Whole)));
}

/// Closes the partition of lane 7, of which the producer has event 0, and adds events 1 and 2 in the wrong order.
fn closed_partition(coordinates: bool) -> Bench {
    let mut bench = Bench::new(100);
    bench.outbox.coordinate_recoveries(coordinates);
    bench.admit_one(0, 7, 10, Form::Whole);
    bench.issued();
    bench.outbox.partition_closed(&[bench.last()]);
    bench.admit_one(1, 7, 30, Form::Whole);
    bench.admit_one(2, 7, 20, Form::Whole);
    bench.issued();
    bench.outbox.written([Seq(0), Seq(1), Seq(2)]);
    bench.issued();
    bench
}

#[test]
fn lane_of_a_recovered_partition_waits_for_the_replicas() {
    let mut bench = closed_partition(true);
    assert!(bench.outbox.has_recovering_in_flight());
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(bench.outbox.partitions_available(), "the others are to be asked");
    assert_eq!(bench.issued(), [Issued::Forget(0)]);
    assert_eq!(bench.outbox.withheld_by_lane(), [(LaneKey(7), 2)].into());
    let lanes = std::collections::HashSet::from([LaneKey(7)]);
    assert!(!bench.outbox.has_backlog(&lanes, Seq(3)), "it delays no other replica");
    bench.outbox.release_closed_lanes();
    assert_eq!(bench.issued(), [Issued::Load(2)], "the older one");
    bench.outbox.loaded(bench.last(), Loaded::Found(Form::Whole), 0);
    assert_eq!(bench.issued(), [Issued::Produce(2, Form::Whole)]);
    assert!(bench.outbox.has_backlog(&lanes, Seq(3)));
}

#[test]
fn partition_that_recovers_during_the_first_exchange_is_published_with_all_others() {
    let mut bench = closed_partition(true);
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(bench.outbox.partitions_available(), "the others are already asked");
    bench.issued();
    // Events might be published from the start.
    bench.outbox.set_may_publish(true);
    assert_eq!(bench.issued(), [Issued::Load(2)]);
}

#[test]
fn older_event_passes_the_head_of_a_closed_lane() {
    let mut bench = closed_partition(true);
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    bench.admit_one(3, 7, 15, Form::Whole);
    bench.issued();
    bench.outbox.written([Seq(3)]);
    bench.outbox.release_closed_lanes();
    assert!(bench.issued().contains(&Issued::Load(3)));
}

#[test]
fn closed_lane_gets_no_new_event_and_shows_why_with_replicas() {
    for code in [FailureCode::PartitionUnavailable, FailureCode::AskingReplicas] {
        let mut bench = Bench::new(100);
        bench.outbox.coordinate_recoveries(true);
        let new_event = |id, obstacle| {
            let (key, publication) = (EventKey::of("app", id), Arc::new(Form::Whole));
            NewEvent { key, lane: LaneKey(7), event_time: 0, obstacle, publication }
        };
        bench.outbox.admit([new_event("0", Some(code))], "one", SOON);
        assert_eq!(bench.issued(), [Issued::Write(0)]);
        bench.outbox.written([Seq(0)]);
        assert_eq!(bench.issued(), [Issued::Answer("one", vec![Verdict::NotConfirmed])]);
        bench.outbox.admit([new_event("1", None)], "two", SOON);
        assert_eq!(bench.outbox.waiting_heads(1)[0].reason, WaitReason::Failed(code));
        bench.outbox.written([Seq(1)]);
        bench.issued();
        bench.outbox.tick(700_000);
        assert_eq!(bench.issued(), [Issued::Load(0)], "if the end of the wait is not reported");
    }
}

#[test]
fn recovered_partition_is_published_at_once_without_replicas() {
    let mut bench = closed_partition(false);
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(!bench.outbox.partitions_available());
    assert!(bench.issued().contains(&Issued::Produce(1, Form::Whole)), "in the order of acceptance");
}

#[test]
fn closed_lanes_go_on_when_the_last_other_replica_leaves() {
    let mut bench = closed_partition(true);
    bench.outbox.report(bench.last(), 0, DeliveryReport::Confirmed, 0);
    bench.issued();
    bench.outbox.coordinate_recoveries(false);
    assert_eq!(bench.issued(), [Issued::Load(2)]);
}

#[test]
fn wait_after_an_outage_names_the_other_replicas() {
    let mut bench = Bench::new(100);
    bench.outbox.set_kafka_available(false);
    bench.outbox.set_may_publish(false);
    bench.admit("waits", 0..2);
    assert_eq!(bench.outbox.waiting_heads_by_reason(), [(WaitReason::KafkaUnavailable, 2)].into());
    bench.outbox.set_kafka_available(true);
    bench.outbox.coordinate_recoveries(true);
    let (key, publication) = (EventKey::of("app", "2"), Arc::new(Form::Whole));
    let obstacle = Some(FailureCode::AskingReplicas);
    bench.outbox.admit([NewEvent { key, lane: LaneKey(2), event_time: 0, obstacle, publication }], "replayed", SOON);
    let asking = WaitReason::Failed(FailureCode::AskingReplicas);
    assert_eq!(bench.outbox.waiting_heads_by_reason(), [(asking, 3)].into(), "one of them was in quarantine");
    bench.outbox.set_may_publish(true);
    assert_eq!(bench.outbox.waiting_heads_by_reason(), [].into());
}
