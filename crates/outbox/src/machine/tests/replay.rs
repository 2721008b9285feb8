//! Events that are read from the journal and published.

use super::*;

#[test]
fn a_journaled_rejected_record_becomes_a_dead_letter_in_place() {
    let mut harness = Harness::new(100);
    harness.admit("waits", 0..1);
    harness.outbox.tick(7_500);
    harness.outbox.written([Seq(0)]);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Rejected(FailureCode::RecordTooLarge), 8_000);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 8_001);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Letter)]);
    harness.outbox.report(harness.last(), 0, DeliveryReport::Failed(FailureCode::TimedOut), 8_002);
    harness.outbox.tick(8_499);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 8_499);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Letter)], "the whole one was refused once, that is enough");
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 8_499);
    let verdict = Verdict::DeadLettered(Reason::RefusedByBroker);
    assert_eq!(harness.issued(), [Issued::Delete(0), Issued::Answer("waits", vec![verdict])]);
}

#[test]
fn a_leaderless_partition_does_not_delay_other_entries() {
    let mut harness = Harness::new(100);
    let entries = (0..20).map(|number| entry(number, number, 0, 1));
    harness.outbox.recover(entries, Seq(20));
    harness.outbox.replay();
    assert_eq!(harness.issued(), (0..8).map(Issued::Load).collect::<Vec<_>>(), "as many as may be at a time");
    let stuck = std::mem::take(&mut harness.handles);
    stuck.iter().for_each(|handle| harness.outbox.loaded(*handle, Loaded::Found(Form::Whole), 0));
    harness.issued();
    harness.outbox.tick(1_999);
    assert_eq!(harness.issued(), []);
    harness.outbox.tick(2_000);
    assert_eq!(
        harness.issued(),
        (8..16).map(Issued::Load).collect::<Vec<_>>(),
        "those after them have waited long enough"
    );
    // The two minutes of the first events are over. They come after events that were not tried yet.
    stuck
        .iter()
        .for_each(|handle| harness.outbox.report(*handle, 0, DeliveryReport::Failed(FailureCode::TimedOut), 120_000));
    harness.outbox.tick(121_000);
    assert_eq!(harness.issued(), []);
    let others = std::mem::take(&mut harness.handles).split_off(8);
    others.iter().for_each(|handle| harness.outbox.loaded(*handle, Loaded::Found(Form::Whole), 121_000));
    others.iter().for_each(|handle| harness.outbox.report(*handle, 0, DeliveryReport::Confirmed, 121_001));
    let loads: Vec<_> = harness.issued().into_iter().filter(|issued| matches!(issued, Issued::Load(_))).collect();
    assert_eq!(loads[..4], [16, 17, 18, 19].map(Issued::Load));
}

#[test]
fn record_found_in_its_topic_is_not_sent_after_a_restart() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    harness.outbox.mark_published(EventKey::of("app", "0"), Published::Record(0), 0);
    harness.outbox.replay();
    harness.issued();
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Pair), 0);
    assert_eq!(harness.issued(), [Issued::Produce(0, Form::Pair)]);
    assert_eq!(harness.confirmed, 0b01);
    harness.outbox.report(harness.last(), 1, DeliveryReport::Confirmed, 0);
    assert_eq!(harness.issued(), [Issued::Delete(0)]);
}

#[test]
fn journal_is_sorted_by_event_time_at_the_start() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 7, 30, 1), entry(1, 7, 10, 1), entry(2, 7, 20, 1)], Seq(3));
    harness.outbox.replay();
    assert_eq!(harness.issued(), [Issued::Load(1)]);
}

#[test]
fn replay_holds_no_more_bytes_than_its_budget() {
    let mut harness = Harness::new(100);
    harness.outbox.replay_slots.set_max_bytes(100);
    harness.outbox.recover([entry(0, 0, 0, 60), entry(1, 1, 0, 60), entry(2, 2, 0, 500), entry(3, 3, 0, 1)], Seq(4));
    harness.outbox.replay();
    for seq in 0..3 {
        assert_eq!(harness.issued(), [Issued::Load(seq)], "the next does not fit beside it");
        harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 0);
        harness.issued();
        harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
        let deletion = harness.outbox.commands.remove(0);
        assert!(matches!(deletion, Command::Delete(Seq(gone)) if gone == seq));
    }
    assert_eq!(harness.issued(), [Issued::Load(3)]);
}

#[test]
fn an_event_resolved_by_the_same_input_is_not_read_back() {
    let mut harness = Harness::new(100);
    harness.outbox.replay_slots.set_max_bytes(100);
    harness.outbox.recover((0..4).map(|number| entry(number, number, 0, 60)), Seq(4));
    harness.outbox.replay();
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    for event in ["0", "1", "2"] {
        harness.outbox.mark_published(EventKey::of("app", event), Published::Whole(Verdict::Confirmed), 0);
    }
    let deletions = [0, 1, 2].map(Issued::Delete);
    assert_eq!(harness.issued(), deletions.into_iter().chain([Issued::Load(3)]).collect::<Vec<_>>());
}

#[test]
fn unreadable_journal_is_asked_again_soon() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    harness.outbox.replay();
    harness.issued();
    harness.outbox.loaded(harness.last(), Loaded::Unavailable, 1_000);
    let head = harness.outbox.waiting_heads(1)[0];
    assert_eq!(head.reason, WaitReason::Failed(FailureCode::JournalUnreadable));
    assert_eq!((head.attempts, head.failing_since), (1, Some(1_000)));
    harness.outbox.tick(1_250);
    assert_eq!(harness.issued(), [Issued::Load(0)]);
}

#[test]
fn damaged_entry_keeps_back_no_event_once_it_is_discarded() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 7, 0, 1), entry(1, 7, 0, 1)], Seq(2));
    harness.outbox.replay();
    harness.issued();
    harness.outbox.loaded(harness.last(), Loaded::Damaged, 0);
    harness.outbox.coordinate_recoveries(true);
    assert_eq!(harness.outbox.discard(EventKey::of("app", "0")), DiscardOutcome::Discarded);
    assert_eq!(harness.issued(), [Issued::Delete(0), Issued::Load(1)]);
}

#[test]
fn single_record_found_in_its_topic_is_not_published_again() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    for event in ["0", "1", "2"] {
        // The topics do not show that the event has no second record.
        harness.outbox.mark_published(EventKey::of("app", event), Published::Record(0), 0);
    }
    harness.outbox.replay();
    harness.issued();
    harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), 0);
    assert_eq!(harness.issued(), [Issued::Delete(0)], "what the journal had");
    assert_eq!(harness.admit("again", 0..2), [Admitted::Known(Verdict::Confirmed); 2]);
    assert_eq!(harness.issued(), [Issued::Answer("again", vec![Verdict::Confirmed; 2])], "what is delivered again");
    harness.admit_one(2, 2, 0, Form::Pair);
    assert_eq!(harness.issued(), [Issued::Produce(1, Form::Pair)]);
    assert_eq!(harness.confirmed, 0b01, "only the record that is missing");
}

#[test]
fn event_of_a_closed_partition_is_read_only_when_it_is_open() {
    let mut harness = Harness::new(100);
    harness.outbox.recover([entry(0, 0, 0, 1)], Seq(1));
    harness.outbox.replay();
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    let close = |harness: &mut Harness, now| {
        harness.outbox.loaded(harness.last(), Loaded::Found(Form::Whole), now);
        assert_eq!(harness.issued(), [Issued::Produce(0, Form::Whole)]);
        harness.outbox.report(harness.last(), 0, DeliveryReport::NotSent(FailureCode::PartitionUnavailable), now);
    };
    close(&mut harness, 0);
    for now in (0..500_000).step_by(1_000) {
        harness.outbox.tick(now);
        assert_eq!(harness.issued(), [], "at {now}");
    }
    let head = harness.outbox.waiting_heads(1)[0];
    assert_eq!(head.reason, WaitReason::Failed(FailureCode::PartitionUnavailable));
    let lanes = std::collections::HashSet::from([LaneKey(0)]);
    assert!(!harness.outbox.has_backlog(&lanes, Seq(1)), "it delays no other replica");
    harness.outbox.release_closed_lanes();
    assert_eq!(harness.issued(), [Issued::Load(0)]);
    close(&mut harness, 500_000);
    harness.outbox.tick(1_100_000);
    assert_eq!(harness.issued(), [Issued::Load(0)], "if the recovery is not reported");
}

#[test]
fn published_record_of_a_discarded_event_is_not_repeated() {
    let mut harness = Harness::new(10);
    harness.admit_one(0, 0, 0, Form::Pair);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    harness.outbox.report(harness.last(), 1, DeliveryReport::Failed(FailureCode::Other), 0);
    harness.issued();
    assert_eq!(harness.outbox.discard(EventKey::of("app", "0")), DiscardOutcome::Discarded);
    harness.admit_one(0, 0, 0, Form::Pair);
    harness.issued();
    assert_eq!(harness.confirmed, 1, "the first record is in its topic");
}

#[test]
fn record_of_a_replaced_cluster_is_published_again() {
    let mut harness = Harness::new(100);
    harness.admit_one(0, 0, 0, Form::Pair);
    harness.issued();
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 0);
    harness.outbox.report(harness.last(), 1, DeliveryReport::Failed(FailureCode::TimedOut), 0);
    harness.outbox.tick(250);
    assert!(harness.issued().contains(&Issued::Produce(0, Form::Pair)));
    assert_eq!(harness.confirmed, 0b01, "only the second record is sent again");
    // The first report of the new cluster shows that it is another one.
    harness.outbox.cluster_replaced();
    harness.outbox.report(harness.last(), 1, DeliveryReport::Confirmed, 251);
    let issued = harness.issued();
    assert!(!issued.iter().any(|issued| matches!(issued, Issued::Answer(..))), "{issued:?}");
    harness.outbox.tick(800);
    assert!(harness.issued().contains(&Issued::Produce(0, Form::Pair)));
    assert_eq!(harness.confirmed, 0b10, "only the new cluster has the second record");
    harness.outbox.report(harness.last(), 0, DeliveryReport::Confirmed, 801);
    assert!(harness.issued().contains(&Issued::Answer("one", vec![Verdict::Confirmed])));
}
