//! Other Kafka credentials, by SIGHUP and by a watched file: they reach everything that reads or checks the topics.

use std::cell::Cell;

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;

use crate::support::bridge::{ENTITIES, Setup, TestApplication};
use crate::support::real_kafka::{Nodes, On, Options, RealKafka};
use crate::support::records::retry;

const CONFIGS: &str = "kafka.admin.ConfigCommand";

fn setup(kafka: &RealKafka, prefix: &str) -> Setup {
    Setup::of(vec![TestApplication::workforce().prefix(prefix)])
        .topics(format!("prefix = {prefix:?}\npartitions = 1\nreplication_factor = 1"))
        .kafka(kafka.bootstrap_servers())
}

/// A bridge that logs in.
fn with_login(kafka: &RealKafka, prefix: &str) -> Setup {
    let secure = kafka.secure_properties().into_iter();
    let setup = secure.fold(setup(kafka, prefix), |setup, (name, value)| match name {
        "bootstrap.servers" => setup.kafka(&value),
        name => setup.property(name, &value),
    });
    setup.read_from(kafka.bootstrap_servers())
}

fn create_event_topics(kafka: &RealKafka, prefix: &str) {
    for entity in ENTITIES {
        kafka.create_topic(&format!("{prefix}.{entity}.v1"), 1, 1, &[]);
    }
}

/// Sets the password of a user, who exists from then on.
fn set_password(kafka: &RealKafka, user: &str, password: &str) {
    let login = format!("SCRAM-SHA-512=[password={password}]");
    let whom = ["--entity-type", "users", "--entity-name", user, "--alter", "--add-config", &login];
    kafka.java(CONFIGS, &[&["--bootstrap-server", kafka.bootstrap_servers()], whom.as_slice()].concat(), "");
}

fn user(number: u64) -> Event {
    Generator::new(77).event(&Kind::UserUpdateInfo.into(), number, now_ms())
}

/// Publishes an event by a bridge that needs no login, and ends it.
fn publish_elsewhere(kafka: &RealKafka, prefix: &str, event: &Event) {
    let mut bridge = setup(kafka, prefix).spawn();
    bridge.send_until_success(event);
    assert!(bridge.end());
}

#[test]
fn sighup_to_a_user_who_may_read_rebuilds_the_dedup_cache() {
    let options = Options::default()
        .scram("writer", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    create_event_topics(&kafka, "promoted");
    let grant = |user: &str, operations: &[&str]| kafka.grant(user, operations, On::TopicsFrom("promoted."));
    grant("writer", &["Describe", "Write"]);
    set_password(&kafka, "reader", "battery staple");
    grant("reader", &["Describe", "Read", "Write"]);
    let before = user(1);
    publish_elsewhere(&kafka, "promoted", &before);

    let mut bridge = with_login(&kafka, "promoted").spawn();
    bridge.program().wait_for(|line| line["code"] == "dedup_cache_not_rebuilt");
    assert!(bridge.reload_with(|setup| {
        setup.property_again("sasl.username", "reader").property_again("sasl.password", "battery staple")
    }));
    bridge.program().wait_for(|line| line["code"] == "dedup_cache_rebuilt");
    bridge.send_until_success(&before);
    bridge.send_until_success(&user(2));
    let published = bridge.published();
    assert!(published.len() == 2 && published.values().all(|count| *count == 1), "{published:?}");
}

#[test]
fn rejected_topics_are_created_once_kafka_accepts_them() {
    let options = Options::default()
        .scram("bridge", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    let grant = |operations: &[&str]| kafka.grant("bridge", operations, On::TopicsFrom("created."));
    grant(&["Describe", "Read", "Write"]);
    let mut bridge = with_login(&kafka, "created").topics("create = true").spawn();
    bridge.program().wait_for(|line| line["code"] == "topic_not_created");
    grant(&["Create"]);
    bridge.send_until_success(&user(1));
    let log = bridge.program().log();
    let is_rejection = |line: &&str| line.contains("topic_not_created") && line.contains("created.user.v1");
    assert_eq!(log.lines().filter(is_rejection).count(), 1, "{log}");
}

#[test]
fn replaced_password_file_reaches_rebuild_checks_and_follower() {
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default().scram("bridge", "first")) else { return };
    // One is missing, which is visible only with the right to describe topics.
    for entity in ENTITIES.into_iter().filter(|entity| *entity != "group") {
        kafka.create_topic(&format!("rotated.{entity}.v1"), 1, 1, &[]);
    }
    let (first, later) = (user(1), user(2));
    publish_elsewhere(&kafka, "rotated", &first);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kafka.password");
    std::fs::write(&file, "first").unwrap();
    set_password(&kafka, "bridge", "second");

    let setup = with_login(&kafka, "rotated").property_file("sasl.password", &file);
    let mut bridge = setup.section("[dedupe]\nfollow_replicas = true\n").spawn();
    bridge.wait_metric("kafka_available", &[], 0.0);
    assert!(!bridge.program().log().contains("topic_missing"));
    std::fs::write(&file, "second").unwrap();
    bridge.program().wait_for(|line| line["code"] == "files_changed");
    let line = bridge.program().wait_for(|line| line["code"] == "topic_missing");
    assert_eq!(line["topic"], "rotated.group.v1");
    bridge.program().wait_for(|line| line["code"] == "dedup_cache_rebuilt");
    bridge.send_until_success(&first);
    assert_eq!(bridge.metric("events_duplicate_total", &[]), 1.0, "it was not known");

    // With another password again, while everything works. Connections of the old one end with the broker.
    set_password(&kafka, "bridge", "third");
    std::fs::write(&file, "third").unwrap();
    bridge.wait_metric("config_reloads_total", &[("result", "ok")], 2.0);
    kafka.kill(1);
    kafka.restart(1);
    bridge.send_until_success(&later);
    // What others publish from now on is learned by following. What comes before it is learned is published again, so
    // each is tried once.
    let known = bridge.metric("events_duplicate_total", &[]);
    let next = Cell::new(100);
    retry(|| {
        let event = user(next.replace(next.get() + 1));
        publish_elsewhere(&kafka, "rotated", &event);
        bridge.send_until_success(&event);
        let more = bridge.metric("events_duplicate_total", &[]) - known;
        if more > 0.0 { Ok(()) } else { Err("nothing is learned yet".to_owned()) }
    });
}
