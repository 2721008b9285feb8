//! Tests of `redelivery`.

use super::*;
use crate::events::Generator;
use crate::test_bridge::{TestBridge, answer, refusal};

/// Sends one event of each type to `bridge`; gives what became of them.
async fn settled(bridge: &TestBridge, fault: Option<Fault>, again: u64) -> (Vec<Outcome>, Vec<DeliveryEvent>) {
    let batch = Batch { events: Generator::new(1).one_of_each(1_753_000_000_000), fault };
    let (sending, mut receiving) = tokio::sync::mpsc::unbounded_channel();
    let request = bridge.sender.request(&batch.events, fault).unwrap();
    let schedule = Schedule::after(vec![Duration::from_millis(1); again as usize]);
    deliver(&bridge.sender, &batch, request, Instant::now(), &schedule, &sending).await.unwrap();
    drop(sending);
    let (mut outcomes, mut events) = (Vec::new(), Vec::new());
    while let Some(next) = receiving.recv().await {
        if let DeliveryEvent::Settled(settled) = next {
            outcomes.extend(settled);
        } else {
            events.push(next);
        }
    }
    (outcomes, events)
}

#[tokio::test]
async fn retried_events_are_sent_again_with_a_new_token() {
    let bridge = TestBridge::start(|number, ids| {
        let retried = if number == 0 { &ids[..2] } else { &[] };
        (200, answer(&ids[retried.len()..], retried))
    })
    .await;
    let (outcomes, _) = settled(&bridge, None, 5).await;
    assert!(outcomes.iter().all(|outcome| outcome.good));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.deliveries == 2).count(), 2);
    let requests = bridge.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].event_ids, requests[0].event_ids[..2]);
    assert_ne!(requests[1].token_id, requests[0].token_id);
}

#[tokio::test]
async fn a_refused_callback_is_sent_again_until_the_schedule_ends() {
    let bridge = TestBridge::start(|_, _| (401, refusal("expired"))).await;
    let (outcomes, _) = settled(&bridge, None, 5).await;
    assert_eq!(bridge.requests().len(), 6);
    assert!(bridge.requests().iter().all(|request| request.event_ids.len() == outcomes.len()));
    let final_outcome = FinalOutcome::Refusal(401, Some("expired".into()));
    assert!(outcomes.iter().all(|outcome| outcome.final_outcome == final_outcome && !outcome.good));
}

#[tokio::test]
async fn only_the_expected_refusal_settles_a_fault() {
    let bridge = TestBridge::start(|number, _| match number {
        0 => (503, refusal("keys_unavailable")),
        _ => (401, refusal("expired")),
    })
    .await;
    let (outcomes, _) = settled(&bridge, Some(Fault::Expired), 5).await;
    assert!(outcomes.iter().all(|outcome| outcome.good && outcome.deliveries == 2));
}

#[tokio::test]
async fn a_redelivery_must_meet_the_same_verdict() {
    let steady = TestBridge::start(|_, ids| (200, answer(ids, &[]))).await;
    let (outcomes, _) = settled(&steady, Some(Fault::Redelivery), 0).await;
    assert!(outcomes.iter().all(|outcome| outcome.good && outcome.deliveries == 2));
    let fickle =
        TestBridge::start(|number, ids| if number == 0 { (200, answer(ids, &[])) } else { (200, answer(&[], ids)) })
            .await;
    let (outcomes, _) = settled(&fickle, Some(Fault::Redelivery), 0).await;
    assert!(outcomes.iter().all(|outcome| !outcome.good));
}

#[tokio::test]
async fn an_event_missing_from_the_answer_is_reported() {
    let bridge = TestBridge::start(|_, ids| (200, answer(&ids[1..], &[]))).await;
    let (outcomes, events) = settled(&bridge, None, 5).await;
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.good).count(), 1);
    assert!(events.iter().any(|event| matches!(event, DeliveryEvent::Wrong(AnswerFault::Missing(_)))));
}

#[tokio::test]
async fn events_without_ids_are_expected_in_no_list() {
    let bridge = TestBridge::start(|_, ids| (200, answer(ids, &[]))).await;
    let (outcomes, events) = settled(&bridge, Some(Fault::MissingEventId), 0).await;
    assert!(outcomes.iter().all(|outcome| outcome.good && outcome.final_outcome == FinalOutcome::NoVerdict));
    assert!(!events.iter().any(|event| matches!(event, DeliveryEvent::Wrong(_))));
}

#[tokio::test]
async fn an_event_twice_in_a_callback_must_stand_once_in_its_answer() {
    let bridge = TestBridge::start(|_, ids| (200, answer(&ids[..ids.len() / 2], &[]))).await;
    assert!(settled(&bridge, Some(Fault::Duplicate), 0).await.0.iter().all(|outcome| outcome.good));
    let bridge = TestBridge::start(|_, ids| (200, answer(ids, &[]))).await;
    assert!(settled(&bridge, Some(Fault::Duplicate), 0).await.0.iter().all(|outcome| !outcome.good));
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_answer() {
    let bridge = TestBridge::start(|_, _| (500, String::new())).await.stopped().await;
    let (outcomes, _) = settled(&bridge, None, 1).await;
    let no_answer = FinalOutcome::NoAnswer(NoAnswer::NotConnected);
    assert!(outcomes.iter().all(|outcome| outcome.final_outcome == no_answer && outcome.deliveries == 2));
}
