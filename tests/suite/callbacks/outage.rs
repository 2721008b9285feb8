//! A broker that is away: the answer is in time and true, and nothing is published twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use serde_json::json;

use super::{assert_all, assert_success, event, users};
use crate::support::bridge::{ENTITIES, Setup, verdicts};
use crate::support::http::request;
use crate::support::records::retry;
use crate::support::slow_disk::SlowDisk;

/// IDaaS waits that long.
const IDAAS_WAITS: Duration = Duration::from_secs(10);

#[test]
fn an_unconfirmed_event_is_retried_and_published_once() {
    let bridge = Setup::new().deadline(1000).start();
    let events = users(10);
    bridge.mock().broker_down(1).unwrap();
    let began = Instant::now();
    assert_all(&bridge.send(&events), List::Retried, "not_confirmed");
    assert!(began.elapsed() < IDAAS_WAITS, "answered too late");
    assert_all(&bridge.send(&events), List::Retried, "not_confirmed");
    bridge.mock().broker_up(1).unwrap();
    // As IDaaS does: again and again.
    retry(|| {
        let verdicts = bridge.send(&events);
        if verdicts.values().all(|(list, _)| *list == List::Success) { Ok(()) } else { Err(format!("{verdicts:?}")) }
    });
    assert_eq!(bridge.records().len(), events.len());
}

#[test]
fn kafka_outage_keeps_the_service_ready() {
    let bridge = Setup::new().deadline(600).start();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    assert_eq!((bridge.admin("/livez").status, bridge.admin("/readyz").status), (200, 200));
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 1.0);
}

#[test]
fn a_cluster_without_any_leader_is_unavailable() {
    let bridge = Setup::new().start();
    bridge.wait_metric("kafka_available", &[], 1.0);
    let lead = |leader| {
        for (entity, partition) in ENTITIES.iter().flat_map(|entity| [0, 1, 2].map(|partition| (entity, partition))) {
            bridge.mock().partition_leader(&format!("idaas.{entity}.v1"), partition, leader).unwrap();
        }
    };
    lead(None);
    bridge.wait_metric("kafka_available", &[], 0.0);
    bridge.mock().partition_leader("idaas.group.v1", 2, Some(1)).unwrap();
    bridge.wait_metric("kafka_available", &[], 1.0);
    lead(Some(1));
    // The producer learns of each leader in its own time.
    let events = users(3);
    retry(|| match bridge.send(&events) {
        verdicts if verdicts.values().all(|(list, _)| *list == List::Success) => Ok(()),
        verdicts => Err(format!("{verdicts:?}")),
    });
}

#[test]
fn a_start_without_kafka_accepts_callbacks_and_delivers_later() {
    let bridge = Setup::new().deadline(600).not_ready().start();
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("jwks_keys", &[], 1.0);
    let events = users(2);
    assert_all(&bridge.send(&events), List::Retried, "not_confirmed");
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("events_published_total", &[], 2.0);
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.records().len(), 2);
}

#[test]
fn waiting_events_leave_memory_for_new_ones() {
    let bridge = Setup::new().server("max_in_flight_events = 100").start();
    bridge.mock().broker_round_trip_time(1, Duration::from_secs(1)).unwrap();
    let events = users(150);
    let caller = Arc::clone(&bridge);
    let (first, more) = (events[..100].to_vec(), &events[100..]);
    let delivery = std::thread::spawn(move || caller.send(&first));
    // Beyond half of the limit the journal takes what the producer has not delivered.
    retry(|| match bridge.metric("journal_events", &[]) {
        events if events >= 45.0 => Ok(()),
        events => Err(format!("{events} are in the journal")),
    });
    assert!(bridge.send(more).values().all(|(_, code)| code != "overloaded"));
    bridge.mock().broker_round_trip_time(1, Duration::ZERO).unwrap();
    delivery.join().unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.records().len(), 150);
}

#[test]
fn a_callback_of_more_events_than_the_limit_is_taken_in_parts() {
    let bridge = Setup::new().server("max_in_flight_events = 100").start();
    let events = users(250);
    let verdicts = bridge.send(&events);
    let successes = verdicts.values().filter(|(list, _)| *list == List::Success).count();
    let overloaded = verdicts.values().filter(|verdict| **verdict == (List::Retried, "overloaded".to_owned())).count();
    assert_eq!((successes, overloaded), (100, 150));
    retry(|| match bridge.send(&events).values().filter(|(list, _)| *list != List::Success).count() {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    });
    assert_eq!(bridge.records().len(), 250);
}

#[test]
fn a_broker_of_three_may_go() {
    let bridge = Setup::new().brokers(3).start();
    assert_success(&bridge.send(&users(20)));
    for topic in ["user"] {
        for partition in 0..3 {
            bridge.mock().partition_leader(&format!("idaas.{topic}.v1"), partition, Some(2)).unwrap();
        }
    }
    bridge.mock().broker_down(1).unwrap();
    assert_success(&bridge.send(&users(40)));
    bridge.mock().broker_up(1).unwrap();
    assert_eq!(bridge.records().len(), 40);
}

#[test]
fn a_waiting_event_keeps_only_itself_in_memory() {
    let disk = SlowDisk::new();
    let setup = Setup::new().deadline(1000).property("message.max.bytes", "2000000");
    let setup = disk.environment().into_iter().fold(setup, |setup, (name, value)| setup.environment(name, value));
    let mut bridge = setup.spawn();
    assert_success(&bridge.send(&users(1)));
    for partition in 0..3 {
        bridge.mock().partition_leader("idaas.group.v1", partition, None).unwrap();
    }
    // Each callback has four large events that are confirmed, and a small one that has neither a leader nor a disk.
    let large = "x".repeat(950_000);
    let callback = |number: u64| {
        let mut events: Vec<_> = (0..4).map(|part| event(Kind::UserUpdateInfo, 1000 + number * 4 + part)).collect();
        events.iter_mut().for_each(|event| event.biz_data["note"] = json!(large));
        events.push(event(Kind::GroupCreate, 100_000 + number));
        bridge.callback().events(&events).body().unwrap()
    };
    let caller = Arc::clone(&bridge);
    let send = |body: &str| {
        let verdicts = verdicts(&caller.raw(&request("POST", &caller.path(), &[], body.as_bytes())));
        let confirmed = verdicts.values().filter(|(list, _)| *list == List::Success).count();
        assert_eq!((confirmed, verdicts.len()), (4, 5), "{verdicts:?}");
    };
    send(&callback(0));
    disk.set_slow(true);
    let bodies: Vec<_> = (1..=40).map(callback).collect();
    for bodies in bodies.chunks(4) {
        std::thread::scope(|threads| bodies.iter().for_each(|body| drop(threads.spawn(|| send(body)))));
    }
    let waiting = bridge.metric("events_in_flight", &[]);
    disk.set_slow(false);
    assert!(waiting >= 20.0, "{waiting} events wait");
    // The callbacks have 150 MB; four at a time are on their way.
    let peak = bridge.program().peak_memory() >> 20;
    assert!(peak < 150, "{peak} MiB");
}
