//! Events in their lanes: order, retries, and other replicas.

use super::*;

#[test]
fn confirmed_record_is_not_sent_again_with_its_sibling() {
    let mut harness = Harness::new(100);
    harness.admit_one(1, 1, 0, Form::Pair);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    harness.outbox.report(harness.last(), 1, DeliveryReport::Failed(FailureCode::UnknownTopic), 0);
    harness.outbox.tick(250);
    harness.issued();
    assert_eq!(harness.confirmed, 0b01);
    harness.outbox.report(harness.last(), 1, DeliveryReport::Confirmed, 260);
    assert!(harness.issued().contains(&Issued::Answer("one", vec![Verdict::Confirmed])));
}

#[test]
fn events_of_an_outage_go_out_in_order_of_their_time() {
    let mut harness = Harness::new(100);
    harness.outbox.set_may_publish(false);
    for (event, event_time) in [(0, 20), (1, 30), (2, 10), (3, 20)] {
        harness.admit_one(event, 7, event_time, Form::Whole);
    }
    harness.issued();
    harness.outbox.set_may_publish(true);
    let mut order = Vec::new();
    for _ in 0..4 {
        let produced = harness.issued().into_iter().find_map(|issued| match issued {
            Issued::Produce(seq, _) => Some(seq),
            Issued::Write(_) | Issued::Delete(_) | Issued::Cancel(_) | Issued::Load(_) | Issued::Answer(..) => None,
        });
        order.extend(produced);
        harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    }
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn held_lane_is_journaled_and_answered_while_others_go_on() {
    let mut harness = Harness::new(100);
    harness.outbox.hold_lanes([LaneKey(1)]);
    harness.admit("held", 1..2);
    assert_eq!(harness.issued(), [Issued::Write(0)]);
    harness.admit("free", 2..3);
    assert_eq!(harness.issued(), [Issued::Produce(1, Form::Whole)]);
    harness.outbox.written([Seq(0)]);
    assert_eq!(harness.issued(), [Issued::Answer("held", vec![Verdict::NotConfirmed])]);
    assert_eq!(harness.outbox.waiting_heads(9).first().map(|head| head.reason), Some(WaitReason::OtherReplica));
    harness.outbox.hold_lanes([]);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
}

#[test]
fn failure_after_another_replica_published_is_a_success() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..1);
    harness.issued();
    harness.outbox.mark_published(EventKey::of("app", "0"), Published::Whole(Verdict::Confirmed), 0);
    assert_eq!(harness.issued(), [], "the producer still has it");
    harness.outbox.report(harness.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 1);
    assert_eq!(harness.issued(), [Issued::Answer("waits", vec![Verdict::Confirmed])]);
}

#[test]
fn event_leaves_the_middle_of_its_lane() {
    let mut harness = Harness::new(100);
    for event in 0..4 {
        harness.admit_one(event, 7, 0, Form::Whole);
    }
    for event in [2, 3, 1] {
        harness.outbox.mark_published(EventKey::of("app", &event.to_string()), Published::Whole(Verdict::Confirmed), 0);
    }
    harness.admit_one(4, 7, 0, Form::Whole);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(harness.issued().contains(&Issued::Produce(4, Form::Whole)));
}

/// Closes the partition of lane 7, of which the producer has event 0, and adds events 1 and 2 in the wrong order.
fn closed_partition(coordinates: bool) -> Harness {
    let mut harness = Harness::new(100);
    harness.outbox.coordinate_recoveries(coordinates);
    harness.admit_one(0, 7, 10, Form::Whole);
    harness.issued();
    harness.outbox.partition_closed(&[harness.last()]);
    harness.admit_one(1, 7, 30, Form::Whole);
    harness.admit_one(2, 7, 20, Form::Whole);
    harness.issued();
    harness.outbox.written([Seq(0), Seq(1), Seq(2)]);
    harness.issued();
    harness
}

#[test]
fn lane_of_a_recovered_partition_waits_for_the_replicas() {
    let mut harness = closed_partition(true);
    assert!(harness.outbox.has_recovering_in_flight());
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(harness.outbox.partitions_available(), "the others are to be asked");
    assert_eq!(harness.issued(), [Issued::Delete(0)]);
    assert_eq!(harness.outbox.withheld_by_lane(), [(LaneKey(7), 2)].into());
    let lanes = std::collections::HashSet::from([LaneKey(7)]);
    assert!(!harness.outbox.has_backlog(&lanes, Seq(3)), "it delays no other replica");
    harness.outbox.release_closed_lanes();
    assert_eq!(harness.issued(), [Issued::Load(2)], "the older one");
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 0);
    assert_eq!(harness.issued(), [Issued::Produce(2, Form::Whole)]);
    assert!(harness.outbox.has_backlog(&lanes, Seq(3)));
}

#[test]
fn partition_that_recovers_during_the_first_exchange_is_published_with_all_others() {
    let mut harness = closed_partition(true);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(harness.outbox.partitions_available(), "the others are already asked");
    harness.issued();
    // Events might be published from the start.
    harness.outbox.set_may_publish(true);
    assert_eq!(harness.issued(), [Issued::Load(2)]);
}

#[test]
fn older_event_passes_the_head_of_a_closed_lane() {
    let mut harness = closed_partition(true);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    harness.admit_one(3, 7, 15, Form::Whole);
    harness.issued();
    harness.outbox.written([Seq(3)]);
    harness.outbox.release_closed_lanes();
    assert!(harness.issued().contains(&Issued::Load(3)));
}

#[test]
fn closed_lane_gets_no_new_event_and_shows_why_with_replicas() {
    for code in [FailureCode::PartitionUnavailable, FailureCode::AskingReplicas] {
        let mut harness = Harness::new(100);
        harness.outbox.coordinate_recoveries(true);
        let new_event = |id, obstacle| {
            let (key, publication) = (EventKey::of("app", id), Arc::new(Form::Whole));
            NewEvent { key, lane: LaneKey(7), event_time: 0, obstacle, publication }
        };
        harness.outbox.admit([new_event("0", Some(code))], "one", SOON);
        assert_eq!(harness.issued(), [Issued::Write(0)]);
        harness.outbox.written([Seq(0)]);
        assert_eq!(harness.issued(), [Issued::Answer("one", vec![Verdict::NotConfirmed])]);
        harness.outbox.admit([new_event("1", None)], "two", SOON);
        assert_eq!(harness.outbox.waiting_heads(1)[0].reason, WaitReason::Failed(code));
        harness.outbox.written([Seq(1)]);
        harness.issued();
        harness.outbox.tick(700_000);
        assert_eq!(harness.issued(), [Issued::Load(0)], "if the end of the wait is not reported");
    }
}

#[test]
fn recovered_partition_is_published_at_once_without_replicas() {
    let mut harness = closed_partition(false);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    assert!(!harness.outbox.partitions_available());
    assert!(harness.issued().contains(&Issued::Produce(1, Form::Whole)), "in the order of acceptance");
}

#[test]
fn closed_lanes_go_on_when_the_last_other_replica_leaves() {
    let mut harness = closed_partition(true);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    harness.issued();
    harness.outbox.coordinate_recoveries(false);
    assert_eq!(harness.issued(), [Issued::Load(2)]);
}

#[test]
fn wait_after_an_outage_names_the_other_replicas() {
    let mut harness = Harness::new(100);
    harness.outbox.set_kafka_available(false);
    harness.outbox.set_may_publish(false);
    harness.admit("waits", 0..2);
    assert_eq!(harness.outbox.waiting_heads_by_reason(), [(WaitReason::KafkaUnavailable, 2)].into());
    harness.outbox.set_kafka_available(true);
    harness.outbox.coordinate_recoveries(true);
    let (key, publication) = (EventKey::of("app", "2"), Arc::new(Form::Whole));
    let obstacle = Some(FailureCode::AskingReplicas);
    harness.outbox.admit([NewEvent { key, lane: LaneKey(2), event_time: 0, obstacle, publication }], "replayed", SOON);
    let asking = WaitReason::Failed(FailureCode::AskingReplicas);
    assert_eq!(harness.outbox.waiting_heads_by_reason(), [(asking, 3)].into(), "one of them was in quarantine");
    harness.outbox.set_may_publish(true);
    assert_eq!(harness.outbox.waiting_heads_by_reason(), [].into());
}
