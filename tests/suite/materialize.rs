//! The state topics on a real Kafka: what `materialize` publishes is exactly what folding the event topics gives, record
//! for record, whatever happens to its instances and to the brokers. A model that shares no code with the product folds.
//!
//! `BRIDGE_STATE=long` runs 200,000 events of 20,000 entities on three nodes with three instances, for minutes.
//! `BRIDGE_STATE=1000000` measures with as many users.

mod events;
mod instance;
#[path = "../../crates/state/tests/merge/model.rs"]
mod model;
mod verify;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::events::{Generator, Publisher, TestEvent};
use self::instance::{Deployment, Instance};
use self::verify::{assert_exact, latest, wait_until_applied};
use crate::support::real_kafka::{Nodes, Options, RealKafka, shared_one_node};
use crate::support::records::retry;

const PARTITIONS: i32 = 3;

/// The event topics of a prefix, and a configuration to maintain their states.
fn deployment(kafka: &RealKafka, prefix: &str, replication: i32) -> Deployment {
    for entity in idaas_state::Entity::ALL {
        kafka.create_topic(&format!("{prefix}.{}.v1", entity.name()), PARTITIONS, replication, &[]);
    }
    let deployment = Deployment::new(kafka.bootstrap_servers(), prefix, PARTITIONS, replication);
    deployment.create_topics();
    deployment
}

/// Shows a measurement.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn metric(instance: &Instance, name: &str) -> f64 {
    let text = instance.get("/metrics").1;
    let lines = text.lines().filter(|line| line.starts_with(&format!("idaas_bridge_{name}")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn events_become_states_and_tombstones() {
    let Some(kafka) = shared_one_node() else { return };
    let deployment = deployment(kafka, "state-normal", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-normal");
    let at = |second: u32| format!("2026-01-01T00:00:{second:02}.000Z");
    let user = |action: &str, second, fields: Value| TestEvent::of("user", "u1", action, &at(second), fields);
    let group = |action: &str, second, fields: Value| TestEvent::of("group", "g1", action, &at(second), fields);
    for event in [
        user("created", 1, json!({"username": "zs", "phone": {"region": "86", "number": "155"}})),
        user("updated", 9, json!({"username": "new", "phone": {"number": null}})),
        user("updated", 5, json!({"username": "late", "displayName": "ZS"})),
        TestEvent::of("user", "u2", "created", &at(1), json!({"username": "gone"})),
        TestEvent::of("user", "u2", "deleted", &at(2), json!({})),
        TestEvent::of("user", "u2", "updated", &at(1), json!({"username": "ghost"})),
        group("created", 1, json!({"name": "G"})),
        group("member_added", 3, json!({"addedMembers": [{"id": "u1", "name": "zs"}, {"id": "u2"}]})),
        group("member_removed", 4, json!({"removedMembers": [{"id": "u2"}]})),
        group("member_added", 2, json!({"addedMembers": [{"id": "u2"}]})),
    ] {
        publisher.publish(&event);
    }
    publisher.publish_raw("user", b"u3", b"not an event");
    publisher.flush();
    let instance = deployment.start();
    wait_until_applied(&deployment);
    assert_exact(&deployment);
    let states = latest(&deployment);
    let user = &states[&("user".to_owned(), "u1".to_owned())];
    assert_eq!(
        user["user"],
        json!({"id": "u1", "username": "new", "displayName": "ZS", "phone": {"region": "86", "number": null}})
    );
    assert_eq!(user["state"]["lastEventTime"], at(9));
    assert_eq!(user["state"]["fieldTimes"]["displayName"], at(5));
    assert_eq!(states.get(&("user".to_owned(), "u2".to_owned())), None);
    let group = &states[&("group".to_owned(), "g1".to_owned())];
    assert_eq!(group["group"]["members"], json!([{"id": "u1", "name": "zs", "since": at(3)}]));
    assert_eq!(group["state"]["removedMembers"], json!([{"id": "u2", "at": at(4)}]));
    assert_eq!(instance.get("/readyz").0, 200);
    assert_eq!(instance.get("/livez").0, 200);
    assert_eq!(metric(&instance, "state_unreadable_total{entity=\"user\"}"), 1.0);
    assert_eq!(metric(&instance, "state_tombstones_total"), 1.0);
    assert_eq!(metric(&instance, "state_late_events_total"), 3.0);
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_state_that_its_topic_does_not_accept_is_skipped_alone() {
    let Some(kafka) = shared_one_node() else { return };
    let prefix = "state-small";
    for entity in idaas_state::Entity::ALL {
        let settings = [("cleanup.policy", "compact"), ("max.message.bytes", "20000")];
        kafka.create_topic(&format!("{prefix}.{}.v1", entity.name()), PARTITIONS, 1, &[]);
        kafka.create_topic(&format!("{prefix}.{}.state.v1", entity.name()), PARTITIONS, 1, &settings);
    }
    let deployment = Deployment::new(kafka.bootstrap_servers(), prefix, PARTITIONS, 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), prefix);
    let members: Vec<_> = (0..500).map(|number| json!({"id": format!("user_{number:020}")})).collect();
    let time = "2026-01-01T00:00:00.000Z";
    publisher.publish(&TestEvent::of("group", "g1", "snapshot", time, json!({"members": members})));
    // Together, the states of a transaction are much larger than the topic accepts in one batch.
    (0..300).for_each(|number| publisher.publish(&events::full_user(number)));
    publisher.publish(&TestEvent::of("group", "g2", "created", time, json!({"name": "G"})));
    publisher.flush();
    let instance = deployment.start();
    retry(|| match latest(&deployment).len() {
        301 => Ok(()),
        states => Err(format!("{states} states")),
    });
    let states = latest(&deployment);
    assert!(states.contains_key(&("group".to_owned(), "g2".to_owned())));
    assert_eq!(metric(&instance, "state_too_large_total"), 1.0);
    assert_eq!(metric(&instance, "state_transactions_aborted_total"), 0.0);
}

#[test]
fn an_event_topic_that_is_created_again_is_read_from_its_beginning() {
    let Some(kafka) = shared_one_node() else { return };
    let prefix = "state-again";
    let deployment = deployment(kafka, prefix, 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), prefix);
    (0..100).for_each(|number| publisher.publish(&events::full_user(number)));
    publisher.flush();
    let _instance = deployment.start();
    wait_until_applied(&deployment);
    kafka.recreate_topic(&format!("{prefix}.user.v1"), PARTITIONS, 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), prefix);
    (200..206).for_each(|number| publisher.publish(&events::full_user(number)));
    publisher.flush();
    retry(|| match latest(&deployment).len() {
        106 => Ok(()),
        states => Err(format!("{states} states")),
    });
}

/// The samples of a metric: labels and values.
fn samples(text: &str, name: &str) -> Vec<(String, f64)> {
    let prefix = format!("idaas_bridge_{name}{{");
    let samples = text.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("} "));
    samples.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn a_lag_is_zero_only_if_everything_is_applied() {
    let Some(kafka) = shared_one_node() else { return };
    let deployment = deployment(kafka, "state-lag", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-lag");
    let users = 3_000_usize;
    (0..users).for_each(|number| publisher.publish(&events::full_user(number)));
    publisher.flush();
    let instance = deployment.start();
    let lags = || {
        let text = instance.get("/metrics").1;
        let applied: f64 = samples(&text, "state_applied_total").iter().map(|(_, value)| value).sum();
        let lags = samples(&text, "state_lag_records");
        let of_users = lags.iter().find(|(labels, _)| labels == "topic=\"state-lag.user.v1\"");
        assert!(of_users.is_none_or(|(_, lag)| *lag > 0.0 || applied == users as f64), "{applied} are applied: {text}");
        lags
    };
    retry(|| match lags() {
        lags if lags.len() == 3 && lags.iter().all(|(_, lag)| *lag == 0.0) => Ok(()),
        lags => Err(format!("{lags:?}")),
    });
    assert_exact(&deployment);
}

#[test]
fn an_instance_that_cannot_join_shows_no_lag() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in idaas_state::Entity::ALL {
        kafka.create_topic(&format!("state-alone.{}.v1", entity.name()), PARTITIONS, 1, &[]);
    }
    let deployment = Deployment::new(kafka.bootstrap_servers(), "state-alone", PARTITIONS, 1);
    let instance = deployment.start();
    retry(|| if metric(&instance, "state_restarts_total") > 0.0 { Ok(()) } else { Err("not tried yet".to_owned()) });
    assert_eq!(samples(&instance.get("/metrics").1, "state_lag_records"), []);
}

#[test]
fn a_state_topic_follows_the_partitions_of_its_event_topic() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in idaas_state::Entity::ALL {
        kafka.create_topic(&format!("state-wide.{}.v1", entity.name()), PARTITIONS + 2, 1, &[]);
    }
    // Made with the number of the configuration, by somebody else.
    kafka.create_topic("state-wide.user.state.v1", PARTITIONS, 1, &[("cleanup.policy", "compact")]);
    let deployment = Deployment::new(kafka.bootstrap_servers(), "state-wide", PARTITIONS, 1);
    let (code, shown) = deployment.run(&["topics", "--create"]);
    assert_eq!(code, Some(1), "{shown}");
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "state-wide.user.state.v1 3/5",
        "state-wide.group.state.v1 5 ",
        "state-wide.user.state.v1: has 3 partitions, and its event topic state-wide.user.v1 has 5",
        "--topic state-wide.user.state.v1",
    ] {
        assert!(flat.contains(part), "{part}: {shown}");
    }
    let (code, shown) = deployment.run(&["check"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("[topic_state_partitions]"), "{shown}");
}

#[test]
fn an_instance_ends_although_kafka_hangs() {
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default()) else { return };
    let deployment = deployment(&kafka, "state-hanging", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-hanging");
    let mut generator = Generator::new(7, 60);
    let mut publish = |count| (0..count).for_each(|_| publisher.publish(&generator.event()));
    let mut instance = deployment.start();
    publish(100);
    publisher.flush();
    wait_until_applied(&deployment);
    publish(2_000);
    publisher.flush();
    kafka.pause(1);
    instance.signal("TERM");
    // The second signal ends the wait for the transaction, if one is open.
    assert!(instance.end().is_some());
    kafka.resume(1);
    // With the same directory, so that it ends the transaction that was left behind.
    instance.start_again();
    wait_until_applied(&deployment);
    assert_exact(&deployment);
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_deletion_is_remembered_without_the_store() {
    let Some(kafka) = shared_one_node() else { return };
    let deployment = deployment(kafka, "state-forgetful", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-forgetful");
    let user = |action: &str, second: u32| {
        TestEvent::of("user", "u", action, &format!("2026-01-01T00:00:{second:02}.000Z"), json!({"username": "zs"}))
    };
    publisher.publish(&user("created", 1));
    publisher.publish(&user("deleted", 5));
    publisher.flush();
    let instance = deployment.start();
    wait_until_applied(&deployment);
    instance.delete_store_and_stop();
    publisher.publish(&user("updated", 3));
    publisher.flush();
    let instance = instance.started_again();
    wait_until_applied(&deployment);
    assert_eq!(latest(&deployment).len(), 0);
    assert_exact(&deployment);
    publisher.publish(&user("created", 6));
    publisher.flush();
    wait_until_applied(&deployment);
    assert_eq!(latest(&deployment).len(), 1);
    drop(instance);
}

#[test]
fn a_full_push_is_reported_with_what_it_left_out() {
    let Some(kafka) = shared_one_node() else { return };
    let deployment = deployment(kafka, "state-push", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-push");
    let user = |id: &str, action: &str, second: u32, name: &str| {
        let time = format!("2026-01-01T00:00:{second:02}.000Z");
        TestEvent::of("user", id, action, &time, json!({"username": name}))
    };
    for id in ["same", "changed", "absent"] {
        publisher.publish(&user(id, "created", 1, "old"));
    }
    publisher.publish(&user("gone", "deleted", 1, "old"));
    publisher.flush();
    assert_eq!(deployment.run(&["push-report"]).0, Some(1));
    for (id, name) in [("same", "old"), ("changed", "new"), ("new", "new")] {
        publisher.publish(&user(id, "snapshot", 2, name));
    }
    publisher.flush();
    let instance = deployment.start();
    wait_until_applied(&deployment);
    let (code, out) = deployment.run(&["push-report", "--last", "--list", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!((&report["application"], &report["snapshots"]), (&json!("workforce"), &json!(3)));
    let users = json!({"new": 1, "changed": 1, "unchanged": 1, "notMentioned": 1, "notMentionedIds": ["absent"]});
    assert_eq!(report["entities"]["user"], users);
    let (_, out) = deployment.run(&["push-report", "--list"]);
    assert!(out.contains("not mentioned: user absent") && out.contains("does not mean deleted"), "{out}");
    let (code, out) = deployment.run(&["tail", "user-state", "--from-beginning", "--count", "7"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("user.state") && out.contains("deleted (tombstone)") && out.contains("(snapshot)"), "{out}");
    drop(instance);
}

/// How much a run with faults does. Each round has one fault.
struct Plan {
    events: usize,
    entities: u64,
    rounds: usize,
}

impl Plan {
    /// Each fault once, or for minutes.
    fn of_environment() -> Self {
        if std::env::var_os("BRIDGE_STATE").is_some_and(|scale| scale == "long") {
            Self { events: 200_000, entities: 20_000, rounds: 40 }
        } else {
            Self { events: 6_000, entities: 600, rounds: 5 }
        }
    }
}

/// Does what a round breaks, and repairs it.
fn break_something(round: usize, kafka: &RealKafka, instances: &mut [Instance]) {
    let victim = round % instances.len();
    let instance = &mut instances[victim];
    match round % 5 {
        0 | 3 => {
            instance.kill();
            std::thread::sleep(Duration::from_millis(300 * (round as u64 % 7)));
            instance.start_again();
        }
        1 => {
            instance.delete_store_and_stop();
            instance.start_again();
        }
        2 => {
            // Longer than the session timeout of the instances.
            instance.signal("STOP");
            std::thread::sleep(Duration::from_secs(9));
            instance.signal("CONT");
        }
        _ => {
            let node = round / 5 % 3 + 1;
            kafka.kill(node);
            std::thread::sleep(Duration::from_secs(3));
            kafka.restart(node);
        }
    }
}

/// Instances are killed, paused for longer than the session timeout, and robbed of their stores, and brokers are killed,
/// while events and a full push come.
#[test]
fn nothing_is_lost_or_doubled_while_things_break() {
    let Some(kafka) = RealKafka::start(Nodes::Three, Options::default()) else { return };
    let deployment = deployment(&kafka, "state-faults", 3);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-faults");
    let plan = Plan::of_environment();
    let mut generator = Generator::new(11, plan.entities);
    let mut instances = [deployment.start(), deployment.start(), deployment.start()];
    for round in 0..plan.rounds {
        if round == plan.rounds / 3 {
            generator.begin_full_push();
        }
        (0..plan.events / plan.rounds).for_each(|_| publisher.publish(&generator.event()));
        publisher.flush();
        break_something(round, &kafka, &mut instances);
        // Else the next fault would come before this one has had its effect.
        std::thread::sleep(Duration::from_secs(3));
    }
    let began = Instant::now();
    wait_until_applied(&deployment);
    let report = assert_exact(&deployment);
    let pushed = generator.pushed().expect("the full push is complete");
    let (code, out) = deployment.run(&["push-report", "--last", "--json"]);
    let push: Value = serde_json::from_str(&out).unwrap();
    assert!(code == Some(0) && push["snapshots"].as_u64() >= Some(pushed as u64), "{pushed} of {push}");
    let sums = ["state_transactions_committed_total", "state_transactions_aborted_total", "state_restarts_total"];
    let sums = sums.map(|name| instances.iter().map(|instance| metric(instance, name)).sum::<f64>());
    say(&format!(
        "{report:?}, {pushed} of the full push; caught up in {:?}; since their last start: committed, aborted, \
         restarts: {sums:?}",
        began.elapsed()
    ));
}

/// Throughput, memory, and the time of a restore, with as many users as `BRIDGE_STATE` says.
#[test]
fn a_large_directory_is_restored() {
    let Some(users) = std::env::var("BRIDGE_STATE").ok().and_then(|scale| scale.parse::<usize>().ok()) else { return };
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default()) else { return };
    let deployment = deployment(&kafka, "state-large", 1);
    let publisher = Publisher::new(kafka.bootstrap_servers(), "state-large");
    (0..users).for_each(|number| publisher.publish(&events::full_user(number)));
    publisher.flush();
    let began = Instant::now();
    let instance = deployment.start();
    while metric(&instance, "state_applied_total") < users as f64 {
        std::thread::sleep(Duration::from_millis(200));
    }
    let took = began.elapsed().as_secs_f64();
    say(&format!("{users} users applied in {took:.1} s, {:.0} per second", users as f64 / took));
    say(&format!("peak memory {} MiB, store {} MiB", instance.peak_memory() >> 20, instance.store_size() >> 20));
    instance.delete_store_and_stop();
    let began = Instant::now();
    let instance = instance.started_again();
    while instance.get("/readyz").0 != 200 {
        std::thread::sleep(Duration::from_millis(100));
    }
    say(&format!(
        "restored in {:.1} s, peak memory {} MiB",
        began.elapsed().as_secs_f64(),
        instance.peak_memory() >> 20
    ));
    assert_eq!(metric(&instance, "state_entities{entity=\"user\"}"), users as f64);
}
