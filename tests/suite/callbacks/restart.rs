//! The memory of what was delivered, over a restart and between replicas: on a real Kafka, because only one answers
//! where records of a time stand.

use std::cell::Cell;
use std::process::Command;

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use serde_json::json;

use super::{assert_all, assert_success, event, ids, users};
use crate::support::bridge::{ENTITIES, Setup, TestApplication};
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
fn published_events_are_known_after_a_kill() {
    let Some(kafka) = shared_one_node() else { return };
    // Nobody seals passwords here, so the bridge makes no topic for them; who reads back asks for it.
    kafka.create_topic("restart.credential.v1", 1, 1, &[]);
    let mut bridge = setup(kafka, "restart").spawn();
    let events = users(5);
    assert_success(&bridge.send(&events));
    bridge.start_again();
    bridge.wait_metric("ready", &[], 1.0);
    // Until a callback comes, the topics tell when the last event did.
    let newest = bridge.records().iter().filter_map(|record| record.timestamp).max().unwrap() / 1000;
    bridge.wait_metric("last_event_timestamp_seconds", &[], newest as f64);
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 5.0);
    assert_eq!(bridge.records().len(), 5);
}

#[test]
fn event_without_a_password_is_known_where_passwords_are_sealed() {
    let Some(kafka) = shared_one_node() else { return };
    const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let seal = format!("passwords = \"seal\"\ncredential_key = \"{KEY}\"");
    let mut bridge = setup(kafka, "bare").application(seal).spawn();
    let mut user = event(Kind::UserCreate, 1);
    user.biz_data = json!({"userId": user.biz_id});
    assert_success(&bridge.send(std::slice::from_ref(&user)));
    bridge.start_again();
    bridge.wait_metric("ready", &[], 1.0);
    assert_success(&bridge.send(std::slice::from_ref(&user)));
    assert_eq!(ids(&bridge.records()), [user.event_id.as_str()]);
}

#[test]
fn an_event_of_another_replica_is_a_success_at_once() {
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

#[test]
fn a_silent_broker_does_not_hold_back_the_journal() {
    let mut bridge = Setup::new().deadline(600).brokers(3).partitions(3).spawn();
    for (entity, partition) in ENTITIES.iter().flat_map(|entity| [0, 1, 2].map(|partition| (entity, partition))) {
        bridge.mock().partition_leader(&format!("idaas.{entity}.v1"), partition, Some(partition + 1)).unwrap();
    }
    let brokers = |bridge: &crate::support::bridge::TestBridge, which: &[i32], up: bool| {
        for broker in which {
            let mock = bridge.mock();
            if up { mock.broker_up(*broker) } else { mock.broker_down(*broker) }.unwrap();
        }
    };
    brokers(&bridge, &[1, 2, 3], false);
    bridge.wait_metric("kafka_available", &[], 0.0);
    let events = users(60);
    assert_all(&bridge.send(&events), List::Retried, "not_confirmed");
    bridge.start_again();
    brokers(&bridge, &[1, 2], true);
    // Two thirds of the partitions can be written to.
    retry(|| match bridge.metric("events_published_total", &[]) {
        published if published >= 20.0 => Ok(()),
        published => Err(format!("{published} published")),
    });
    brokers(&bridge, &[3], true);
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(bridge.records().len(), events.len());
}

#[test]
fn a_published_record_of_two_is_not_repeated_after_a_restart() {
    let Some(kafka) = shared_one_node() else { return };
    const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let seal = format!("passwords = \"seal\"\ncredential_key = \"{KEY}\"");
    for entity in ENTITIES.into_iter().filter(|entity| *entity != "credential") {
        kafka.create_topic(&format!("halves.{entity}.v1"), 1, 1, &[]);
    }
    let mut bridge = Setup::of(vec![TestApplication::workforce().prefix("halves").line(seal)])
        .kafka(kafka.bootstrap_servers())
        .topics("prefix = \"halves\"")
        .deadline(2000)
        .spawn();
    let mut user = event(Kind::UserCreate, 1);
    user.biz_data = json!({"userId": user.biz_id, "password": "secret"});
    assert_all(&bridge.send(std::slice::from_ref(&user)), List::Retried, "not_confirmed");
    bridge.start_again();
    bridge.wait_metric("ready", &[], 1.0);
    kafka.create_topic("halves.credential.v1", 1, 1, &[]);
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(ids(&bridge.records_of("user")), [user.event_id.as_str()]);
    assert_eq!(bridge.records_of("credential").len(), 1);
}

#[test]
fn events_of_an_application_added_by_a_reload_are_known() {
    let Some(kafka) = shared_one_node() else { return };
    let (added, other) =
        (TestApplication::named("added").prefix("joined"), TestApplication::workforce().prefix("joined"));
    let of = |applications: Vec<TestApplication>| {
        Setup::of(applications)
            .kafka(kafka.bootstrap_servers())
            .topics("prefix = \"joined\"\ncreate = true\npartitions = 3\nreplication_factor = 1")
            .spawn()
    };
    kafka.create_topic("joined.credential.v1", 1, 1, &[]);
    let mut bridge = of(vec![added.clone(), other]);
    assert!(bridge.reload(|setup| drop(setup.applications.remove(0))));
    let publisher = of(vec![added.clone()]);
    let events = users(500);
    assert_success(&publisher.send(&events));
    assert!(bridge.reload(|setup| setup.applications.insert(0, added)));
    // What comes before it has been read is published again; so each is tried once.
    let next = Cell::new(0);
    retry(|| {
        let event = &events[next.replace(next.get() + 1)];
        assert_success(&bridge.send(std::slice::from_ref(event)));
        if bridge.metric("events_duplicate_total", &[]) > 0.0 {
            Ok(())
        } else {
            Err("nothing is learned yet".to_owned())
        }
    });
    assert_eq!(publisher.records().len(), events.len() + next.get() - 1);
}

#[test]
fn second_process_on_a_journal_ends_so_that_it_is_started_again() {
    let bridge = Setup::new().spawn();
    let config = bridge.configuration().to_str().unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_idaas-bridge")).args(["serve", "--config", config]).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("not_started") && said.contains("is in use by process"), "{said}");
}
