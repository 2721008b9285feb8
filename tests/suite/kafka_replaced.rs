//! Another Kafka cluster at the same address: what the old one has confirmed is not there, and what only seems to be
//! confirmed by the new one is not taken for it.

use std::collections::BTreeSet;

use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;

use crate::support::bridge::{Caller, ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{Nodes, Options, RealKafka};
use crate::support::records::retry;

fn topics(kafka: &RealKafka) {
    for entity in ENTITIES {
        kafka.create_topic(&format!("moved.{entity}.v1"), 1, 1, &[]);
    }
}

fn bridge(kafka: &RealKafka) -> TestBridge {
    Setup::of(vec![TestApplication::workforce().prefix("moved")])
        .topics("prefix = \"moved\"")
        .kafka(kafka.bootstrap_servers())
        .start()
}

fn user(number: u64) -> Event {
    Generator::new(33).event(&Kind::UserUpdateInfo.into(), number, now_ms())
}

fn is_success(bridge: &Caller, event: &Event) -> bool {
    bridge.send(std::slice::from_ref(event))[&event.event_id].0 == List::Success
}

/// Sends an event until it is answered with success, as IDaaS would.
fn until_success(bridge: &Caller, event: &Event) {
    retry(|| is_success(bridge, event).then_some(()).ok_or_else(|| "retried".to_owned()));
}

fn published(bridge: &TestBridge) -> BTreeSet<String> {
    bridge.records().iter().map(|record| record.header("ce_id").unwrap().to_owned()).collect()
}

#[test]
fn an_empty_cluster_at_the_same_address_confirms_nothing_falsely() {
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default()) else { return };
    topics(&kafka);
    // The first producer of a cluster has id 0. With three records it has used the sequence numbers 0, 1 and 2.
    let stays = bridge(&kafka);
    let before: Vec<_> = (0..3).map(user).collect();
    before.iter().for_each(|event| until_success(&stays, event));
    kafka.replace_with_an_empty_one();
    topics(&kafka);
    // Has id 0 in the new cluster, and uses 0 to 4.
    let restarted = bridge(&kafka);
    let elsewhere: Vec<_> = (100..105).map(user).collect();
    elsewhere.iter().for_each(|event| until_success(&restarted, event));

    let after: Vec<_> = (200..203).map(user).collect();
    let confirmed: BTreeSet<_> =
        after.iter().filter(|event| is_success(&stays, event)).map(|event| event.event_id.clone()).collect();
    let missing: Vec<_> = confirmed.difference(&published(&stays)).cloned().collect();
    assert!(missing.is_empty(), "answered with success, and not there: {missing:?}");

    // What only the old cluster had is published again when it comes again.
    stays.wait_metric("kafka_cluster_replaced_total", &[], 1.0);
    let again: Vec<_> = before.iter().chain(&after).collect();
    again.iter().for_each(|event| until_success(&stays, event));
    let published = published(&stays);
    assert!(again.iter().all(|event| published.contains(&event.event_id)), "{published:?}");
}
