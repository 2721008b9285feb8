//! Replicas that have quarantined deliveries of the same events.

use std::collections::BTreeMap;

use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;

use crate::support::bridge::{ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{RealKafka, shared_one_node};

const EVENTS: u64 = 200;

/// A replica without the key of the application.
fn replica(kafka: &RealKafka, prefix: &str) -> TestBridge {
    let mut application = TestApplication::workforce().prefix(prefix);
    application.decryption_keys = vec![ContentKey::generate_hex().to_string()];
    Setup::of(vec![application])
        .kafka(kafka.bootstrap_servers())
        .server("watch_files = false")
        .topics(format!("prefix = {prefix:?}\npartitions = 1\nreplication_factor = 1"))
        .spawn()
}

/// Events of twenty users.
fn events() -> Vec<Event> {
    let generator = Generator::new(93);
    let now = now_ms();
    let event = |number: u64| {
        let mut event = generator.event(&Kind::UserUpdateInfo.into(), number, now + i64::try_from(number).unwrap());
        event.biz_id = format!("user_{:02}", number % 20);
        event.biz_data["userId"] = serde_json::json!(event.biz_id);
        event
    };
    (0..EVENTS).map(event).collect()
}

#[test]
fn replicas_publish_the_same_quarantined_events_once() {
    let Some(kafka) = shared_one_node() else { return };
    for topic in ENTITIES.into_iter().chain(["replicas"]) {
        kafka.create_topic(&format!("quarantined.{topic}.v1"), 1, 1, &[]);
    }
    let mut bridges = [(); 2].map(|()| replica(kafka, "quarantined"));
    bridges.iter().for_each(|bridge| bridge.wait_metric("replicas", &[], 2.0));
    let events = events();
    for (bridge, event) in bridges.iter().flat_map(|bridge| events.iter().map(move |event| (bridge, event))) {
        let body = bridge.callback().events(std::slice::from_ref(event)).body().unwrap();
        assert_eq!(bridge.post(&body).status, 422);
    }
    for bridge in &mut bridges {
        let key = bridge.applications[0].tenant_keys.encryption_key().to_string();
        bridge.start_reload(|setup| setup.applications[0].decryption_keys.push(key));
    }
    for bridge in &bridges {
        bridge.wait_metric("quarantine_callbacks", &[], 0.0);
        bridge.wait_metric("journal_events", &[], 0.0);
    }
    let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in bridges[0].records() {
        let header = |name| record.header(name).unwrap().to_owned();
        published.entry(header("ce_subject")).or_default().push(header("ce_id"));
    }
    let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        sent.entry(event.biz_id).or_default().push(event.event_id);
    }
    assert_eq!(published, sent);
}
