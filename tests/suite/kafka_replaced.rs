//! Another Kafka cluster at the same address: what the old one has confirmed is not there, and what only seems to be
//! confirmed by the new one is not taken for it.

use std::collections::BTreeSet;

use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;

use crate::support::bridge::{Caller, ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{Nodes, Options, RealKafka};

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

#[test]
fn a_replaced_cluster_confirms_nothing_falsely() {
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default()) else { return };
    topics(&kafka);
    // The first producer of a cluster has id 0. With three records it has used the sequence numbers 0, 1 and 2.
    let stays = bridge(&kafka);
    let before: Vec<_> = (0..3).map(user).collect();
    before.iter().for_each(|event| stays.send_until_success(event));
    kafka.replace_with_an_empty_one();
    topics(&kafka);
    // Has id 0 in the new cluster, and uses 0 to 4.
    let restarted = bridge(&kafka);
    let elsewhere: Vec<_> = (100..105).map(user).collect();
    elsewhere.iter().for_each(|event| restarted.send_until_success(event));

    let after: Vec<_> = (200..203).map(user).collect();
    let confirmed: BTreeSet<_> =
        after.iter().filter(|event| is_success(&stays, event)).map(|event| event.event_id.clone()).collect();
    let published = stays.published();
    let missing: Vec<_> = confirmed.iter().filter(|id| !published.contains_key(*id)).collect();
    assert!(missing.is_empty(), "answered with success, and not there: {missing:?}");

    // What only the old cluster had is published again when it comes again.
    stays.wait_metric("kafka_cluster_replaced_total", &[], 1.0);
    let again: Vec<_> = before.iter().chain(&after).collect();
    again.iter().for_each(|event| stays.send_until_success(event));
    let published = stays.published();
    assert!(again.iter().all(|event| published.contains_key(&event.event_id)), "{published:?}");
}
