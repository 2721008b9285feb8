//! The memory of what was delivered, over a restart and between replicas: on a real Kafka, because only one answers where
//! records of a time stand.

use std::cell::Cell;

use super::{assert_success, users};
use crate::support::bridge::{Setup, TestApplication};
use crate::support::real_kafka::{RealKafka, shared_one_node};
use crate::support::records::retry;

/// A bridge on the shared node, with topics of its own.
fn setup(kafka: &RealKafka, prefix: &str) -> Setup {
    Setup::of(vec![TestApplication::workforce().prefix(prefix)])
        .kafka(kafka.bootstrap_servers())
        .topics(format!("prefix = {prefix:?}"))
        .topics("create = true\npartitions = 3\nreplication_factor = 1")
}

#[test]
fn what_was_delivered_before_a_kill_is_a_success_at_once_without_a_second_record() {
    let Some(kafka) = shared_one_node() else { return };
    // Nobody seals passwords here, so the bridge makes no topic for them; who reads back asks for it.
    kafka.create_topic("restart.credential.v1", 1, 1, &[]);
    let mut bridge = setup(kafka, "restart").spawn();
    let events = users(5);
    assert_success(&bridge.send(&events));
    bridge.start_again();
    bridge.wait_metric("ready", &[], 1.0);
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 5.0);
    assert_eq!(bridge.records().len(), 5);
}

#[test]
fn what_another_replica_has_delivered_is_a_success_at_once_without_a_second_record() {
    let Some(kafka) = shared_one_node() else { return };
    // Nobody seals passwords here, so the bridge makes no topic for them; who reads back asks for it.
    kafka.create_topic("replicas.credential.v1", 1, 1, &[]);
    let replica = || setup(kafka, "replicas").topics("[dedupe]\nreplicas = 2").spawn();
    let (one, other) = (replica(), replica());
    let events = users(1000);
    assert_success(&one.send(&events));
    // What comes before the other has learnt of it is published again; so each is tried once.
    let next = Cell::new(0);
    retry(|| {
        let event = &events[next.replace(next.get() + 1)];
        assert_success(&other.send(std::slice::from_ref(event)));
        if other.metric("events_duplicate_total", &[]) > 0.0 { Ok(()) } else { Err("nothing is learnt yet".to_owned()) }
    });
    assert_eq!(one.records().len(), events.len() + next.get() - 1, "what was known was published again");
}
