//! Partitions that accept no records, and a user who may not write: answered from the journal at once, and published
//! when it is over.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::json;

use crate::support::bridge::{ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{Advertised, Nodes, On, Options, RealKafka, shared_one_node};
use crate::support::records::retry;

fn setup(kafka: &RealKafka, prefix: &str) -> Setup {
    Setup::of(vec![TestApplication::workforce().prefix(prefix)])
        .topics(format!("prefix = {prefix:?}"))
        .kafka(kafka.bootstrap_servers())
}

fn event(kind: Kind, number: u64) -> Event {
    Generator::new(35).event(&kind.into(), number, now_ms())
}

fn list(bridge: &TestBridge, event: &Event) -> List {
    bridge.send(std::slice::from_ref(event))[&event.event_id].0
}

#[test]
fn a_missing_topic_is_answered_from_the_journal() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES.into_iter().filter(|entity| *entity != "user") {
        kafka.create_topic(&format!("short.{entity}.v1"), 1, 1, &[]);
    }
    let mut bridge = setup(kafka, "short").spawn();
    let users: Vec<_> = (0..20).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    assert_eq!(list(&bridge, &users[0]), List::Retried);
    let line = bridge.program().wait_for(|line| line["code"] == "record_failed");
    assert_eq!((&line["event_id"], &line["reason"]), (&json!(users[0].event_id), &json!("unknown_topic")), "{line}");
    let topic = [("topic", "short.user.v1")];
    bridge.wait_metric("kafka_partitions_unavailable", &topic, 1.0);
    // Each would wait for its deadline, had it to find that out for itself.
    let began = Instant::now();
    users.iter().for_each(|event| assert_eq!(list(&bridge, event), List::Retried));
    assert!(began.elapsed() < Duration::from_secs(8), "answered after {:?}", began.elapsed());
    // Its number makes its id, which must not be that of a user event that waits.
    assert_eq!(list(&bridge, &event(Kind::GroupCreate, 100)), List::Success);
    assert_eq!(bridge.metric("kafka_available", &[]), 1.0);

    kafka.create_topic("short.user.v1", 1, 1, &[]);
    users.iter().for_each(|event| bridge.send_until_success(event));
    bridge.wait_metric("kafka_partitions_unavailable", &topic, 0.0);
    let published = bridge.published();
    assert_eq!(published.len(), users.len() + 1);
    assert!(published.values().all(|count| *count == 1), "{published:?}");
}

#[test]
fn an_event_that_waited_longer_than_its_topic_allows() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES.into_iter().filter(|entity| *entity != "user") {
        kafka.create_topic(&format!("aged.{entity}.v1"), 1, 1, &[]);
    }
    let bridge = setup(kafka, "aged").start();
    let mut users: Vec<_> = (0..5).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    for event in &mut users {
        event.biz_data["userId"] = json!("user_aged");
        event.biz_id = "user_aged".to_owned();
    }
    bridge.send(&users[..4]);
    bridge.wait_metric("journal_events", &[], 4.0);
    retry(|| match bridge.metric("journal_oldest_seconds", &[]) {
        seconds if seconds > 5.0 => Ok(()),
        seconds => Err(format!("the oldest has waited for {seconds} s")),
    });
    let waited = now_ms();
    kafka.create_topic("aged.user.v1", 1, 1, &[("message.timestamp.before.max.ms", "5000")]);
    bridge.send_until_success(&users[4]);
    bridge.wait_metric("journal_events", &[], 0.0);
    let records = bridge.records_of("user");
    let ids: Vec<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
    assert_eq!(ids, users.iter().map(|event| event.event_id.as_str()).collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.timestamp > Some(waited)), "{records:?}");
    assert_eq!(bridge.metric("dead_letters_total", &[]), 0.0);
}

#[test]
fn records_that_find_no_room_to_be_sent_alone() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES {
        let limit: &[_] = if entity == "user" { &[("max.message.bytes", "20000")] } else { &[] };
        kafka.create_topic(&format!("room.{entity}.v1"), 1, 1, limit);
    }
    // Every batch is larger than the topic allows, so that each of its records is sent alone.
    let setup = setup(kafka, "room").property("linger.ms", "50").property("compression.type", "none");
    let bridge = setup.property("queue.buffering.max.messages", "100").start();
    let users: Vec<_> = (0..2000).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    let verdicts = bridge.send(&users);
    assert!(verdicts.values().all(|(list, _)| *list != List::Failed), "{verdicts:?}");
    bridge.wait_metric("journal_events", &[], 0.0);
    bridge.wait_metric("events_in_flight", &[], 0.0);
    let published = bridge.published();
    let missing = users.iter().filter(|event| published.get(&event.event_id) != Some(&1)).count();
    assert_eq!((published.len(), missing), (users.len(), 0));
}

#[test]
fn a_user_without_write_is_an_outage_until_it_is_granted() {
    let options = Options::default()
        .scram("bridge", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    for entity in ENTITIES {
        kafka.create_topic(&format!("rights.{entity}.v1"), 1, 1, &[]);
    }
    let grant = |operations: &[&str]| kafka.grant("bridge", operations, On::TopicsFrom("rights."));
    grant(&["Describe", "Read"]);
    let mut with_login = setup(&kafka, "rights");
    for (name, value) in kafka.secure_properties() {
        with_login = match name {
            "bootstrap.servers" => with_login.kafka(&value),
            name => with_login.property(name, &value),
        };
    }
    let bridge = with_login.read_from(kafka.bootstrap_servers()).start();
    let users: Vec<_> = (0..10).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    assert_eq!(list(&bridge, &users[0]), List::Retried);
    bridge.wait_metric("kafka_available", &[], 0.0);
    let began = Instant::now();
    users.iter().for_each(|event| assert_eq!(list(&bridge, event), List::Retried));
    assert!(began.elapsed() < Duration::from_secs(8), "answered after {:?}", began.elapsed());
    assert_eq!(bridge.metric("kafka_producer_recreated_total", &[]), 0.0);
    grant(&["Write"]);
    users.iter().for_each(|event| bridge.send_until_success(event));
    bridge.wait_metric("kafka_available", &[], 1.0);
    assert_eq!(bridge.published().len(), users.len());
}

#[test]
fn a_recreated_topic_is_published_to_without_a_restart() {
    let Some(kafka) = RealKafka::start(Nodes::Three, Options::default().fast_failover()) else { return };
    let user_topic = "again.user.v1";
    for entity in ENTITIES {
        kafka.create_topic(&format!("again.{entity}.v1"), 3, 3, &[]);
    }
    let bridge = setup(&kafka, "again").start();
    let users = |from: u64| (from..from + 12).map(|number| event(Kind::UserUpdateInfo, number)).collect::<Vec<_>>();
    users(0).iter().for_each(|event| bridge.send_until_success(event));
    // Leader epochs rise.
    for node in 1..=3 {
        kafka.kill(node);
        kafka.restart(node);
        (0..3).for_each(|partition| kafka.wait_in_sync(user_topic, partition, 3));
    }
    users(100).iter().for_each(|event| bridge.send_until_success(event));
    kafka.recreate_topic(user_topic, 3, 3);
    let after = users(200);
    after.iter().for_each(|event| bridge.send_until_success(event));
    let published = bridge.published();
    assert!(after.iter().all(|event| published.contains_key(&event.event_id)), "{published:?}");
}

#[test]
fn a_topic_that_is_deleted_closes_each_of_its_partitions() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES {
        kafka.create_topic(&format!("gone.{entity}.v1"), 4, 1, &[]);
    }
    let bridge = setup(kafka, "gone").start();
    let users: Vec<_> = (0..40).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    users.iter().for_each(|event| bridge.send_until_success(event));
    kafka.delete_topic("gone.user.v1");
    let users: Vec<_> = (100..140).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    // One after the other: the first waits until the producer notices, which then accepts no record for the others.
    let began = Instant::now();
    users.iter().for_each(|event| assert_eq!(list(&bridge, event), List::Retried));
    assert!(began.elapsed() < Duration::from_secs(30), "answered after {:?}", began.elapsed());
    let topic = [("topic", "gone.user.v1")];
    bridge.wait_metric("kafka_partitions_unavailable", &topic, 4.0);
    assert_eq!(bridge.metric("kafka_available", &[]), 1.0);

    kafka.create_topic("gone.user.v1", 4, 1, &[]);
    users.iter().for_each(|event| bridge.send_until_success(event));
    bridge.wait_metric("kafka_partitions_unavailable", &topic, 0.0);
    let records = bridge.records_of("user");
    let ids: Vec<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
    assert_eq!(ids.len(), users.len());
    assert!(users.iter().all(|event| ids.contains(&event.event_id.as_str())), "{ids:?}");
}

#[test]
fn a_silent_advertised_address_is_one_outage_that_names_it() {
    // Connections are accepted by the system, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let options = Options::default().advertised(&[Advertised::Elsewhere(address.clone())]);
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    for entity in ENTITIES {
        kafka.create_topic(&format!("silent.{entity}.v1"), 1, 1, &[]);
    }
    let setup = setup(&kafka, "silent").kafka(kafka.advertised_servers(0)).read_from(kafka.bootstrap_servers());
    let mut bridge = setup.spawn();
    let users: Vec<_> = (0..30).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    let unreachable = bridge_lines(&mut bridge, &users);
    let named = unreachable.iter().filter(|line| line.contains(&address)).count();
    assert!(named > 0 && unreachable.len() <= 3, "{unreachable:#?}");
    assert_eq!(bridge.metric("kafka_available", &[]), 0.0);
    let waiting = bridge.ask_admin("GET", "/journal").text().to_owned();
    assert!(waiting.contains(&address), "{waiting}");
}

/// Sends the events one by one, each after a second, and returns the log's lines about an unavailable Kafka.
fn bridge_lines(bridge: &mut TestBridge, events: &[Event]) -> Vec<String> {
    for event in events {
        assert_eq!(list(bridge, event), List::Retried);
        std::thread::sleep(Duration::from_secs(1));
    }
    let log = bridge.program().log();
    log.lines().filter(|line| line.contains("\"kafka_unavailable\"")).map(str::to_owned).collect()
}
