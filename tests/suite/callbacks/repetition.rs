//! The same event again: one record, one verdict.

use std::sync::Arc;
use std::time::Duration;

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use serde_json::json;

use super::{assert_success, event, ids, users};
use crate::support::bridge::Setup;

#[test]
fn an_event_twice_in_one_callback_is_one_record_and_one_verdict() {
    let bridge = Setup::new().start();
    let one = event(Kind::UserUpdateInfo, 1);
    let mut changed = one.clone();
    changed.biz_data = json!({"userId": one.biz_id, "username": "somebody else"});
    let verdicts = bridge.deliver(bridge.callback().events(&[one.clone(), changed, one.clone()]));
    assert_eq!(verdicts.len(), 1);
    assert_success(&verdicts);
    assert_eq!(ids(&bridge.records()), [one.event_id.as_str()]);
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 0.0);
    assert_eq!(bridge.metric("events_received_total", &[]), 1.0);
}

#[test]
fn a_delivered_event_is_answered_at_once_without_a_second_record() {
    let bridge = Setup::new().start();
    let events = users(3);
    assert_success(&bridge.send(&events));
    // Nothing can be published any more, so a success now is one from memory.
    bridge.mock().broker_down(1).unwrap();
    for _ in 0..3 {
        assert_success(&bridge.send(&events));
    }
    bridge.mock().broker_up(1).unwrap();
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 9.0);
    assert_eq!(bridge.records().len(), 3);
}

#[test]
fn an_event_that_comes_again_while_it_is_on_its_way_joins_it() {
    let bridge = Setup::new().start();
    bridge.mock().broker_round_trip_time(1, Duration::from_millis(800)).unwrap();
    let events = users(4);
    let deliveries: Vec<_> = (0..3)
        .map(|_| {
            let (caller, events) = (Arc::clone(&bridge), events.clone());
            std::thread::spawn(move || caller.send(&events))
        })
        .collect();
    deliveries.into_iter().for_each(|delivery| assert_success(&delivery.join().unwrap()));
    bridge.mock().broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 8.0);
    assert_eq!(bridge.records().len(), 4);
}

#[test]
fn a_dead_letter_s_verdict_is_repeated_as_it_was() {
    let bridge = Setup::new().start();
    let item = json!({"eventId": "evnt_1", "eventType": Kind::UserCreate.urn(), "bizData": "no object"});
    for _ in 0..3 {
        let verdicts = bridge.send_items(vec![item.clone()]);
        assert_eq!(verdicts["evnt_1"], (List::Failed, "malformed_data".to_owned()));
    }
    assert_eq!(bridge.records().len(), 1);
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 2.0);
}

#[test]
fn an_id_is_compared_byte_by_byte() {
    let bridge = Setup::new().start();
    let items = ["evnt_a", "evnt_A", " evnt_a", "evnt_a ", "1"]
        .map(|id| json!({"eventId": id, "eventType": Kind::UserDelete.urn(), "bizData": {"userId": "user_1"}}));
    assert_eq!(bridge.send_items(items.to_vec()).len(), 5);
    // A number is its digits, and so the same event.
    let number = json!({"eventId": 1, "eventType": Kind::UserDelete.urn(), "bizData": {"userId": "user_1"}});
    assert_success(&bridge.send_items(vec![number]));
    assert_eq!(bridge.records().len(), 5);
}
