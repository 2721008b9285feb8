//! A changed configuration, taken over by SIGHUP while callbacks come.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use idaas_simulator::tenant_keys::Identity;
use serde_json::json;

use super::{assert_success, event, users, without_its_decryption_key};
use crate::support::bridge::{Caller, ENTITIES, JOURNAL_KEY, Setup, TestApplication, TestBridge, tenant_keys};
use crate::support::http::{Connection, request};
use crate::support::records::retry;

/// Somebody who knows the bridge and these applications.
fn caller(bridge: &TestBridge, applications: &[TestApplication]) -> Caller {
    Caller { listen: bridge.listen, admin: bridge.admin, applications: applications.to_vec() }
}

#[test]
fn sighup_takes_a_new_application_over() {
    let mut bridge = Setup::new().spawn();
    let partners = TestApplication::named("partners");
    let applications = vec![TestApplication::workforce(), partners];
    let caller = caller(&bridge, &applications);
    let body = caller.callback_of(1).events(&users(1)).body().unwrap();
    assert_eq!(caller.raw(&request("POST", "/callbacks/partners", &[], body.as_bytes())).status, 404);
    assert!(bridge.reload(|setup| setup.applications = applications.clone()));
    assert_success(&caller.deliver_to(1, caller.callback_of(1).events(&users(1))));
    assert_success(&caller.deliver(caller.callback().events(&users(1))));
    assert_eq!(bridge.records().len(), 2);
    assert!(bridge.reload(|setup| drop(setup.applications.remove(0))));
    let body = caller.callback().events(&users(1)).body().unwrap();
    assert_eq!(caller.post(body).status, 404);
}

#[test]
fn changed_keys_allow_lists_and_rules_count_from_the_reload_on() {
    let mut bridge = Setup::new().start();
    let identity = bridge.applications[0].tenant_keys.identity.clone();
    let changed = TestApplication::of(Arc::new(tenant_keys(identity)));
    let new = caller(&bridge, std::slice::from_ref(&changed));
    let body = |caller: &Caller| caller.callback().events(&users(1)).body().unwrap();
    assert_eq!((bridge.post(body(&bridge)).status, new.post(body(&new)).status), (200, 401));
    assert!(bridge.reload(|setup| setup.applications = vec![changed.clone()]));
    assert_eq!((bridge.post(body(&bridge)).status, new.post(body(&new)).status), (401, 200));

    let skip = format!("skip = [{:?}]", Kind::UserUpdateInfo.urn());
    assert!(bridge.reload(|setup| setup.applications[0].lines = vec![skip]));
    assert!(new.deliver(new.callback().events(&users(3))).values().all(|(_, code)| code == "not_subscribed"));
    let elsewhere = "allowed_networks = [\"192.0.2.0/24\"]".to_owned();
    assert!(bridge.reload(|setup| setup.applications[0].lines = vec![elsewhere]));
    assert_eq!(new.post(body(&new)).json()["error"], "address_not_allowed");
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn key_that_comes_while_a_body_arrives_is_used() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    let body = bridge.callback().events(&users(1)).body().unwrap();
    let request = request("POST", &bridge.path(), &[], body.as_bytes());
    let (first, rest) = request.split_at(request.len() - 10);
    let mut connection = Connection::open(bridge.listen).unwrap();
    connection.send(first).unwrap();
    bridge.wait_metric("callbacks_in_flight", &[], 1.0);
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    assert_eq!(connection.exchange(rest).unwrap().status, 200);
    assert_eq!(bridge.metric("quarantine_callbacks", &[]), 0.0);
}

#[test]
fn a_reload_replaces_the_topics_that_are_watched() {
    let mut bridge = Setup::new().start();
    assert_success(&bridge.send(&users(1)));
    for entity in ENTITIES {
        bridge.mock().create_topic(&format!("new.{entity}.v1"), 3, 1).unwrap();
    }
    assert!(bridge.reload(|setup| setup.applications[0].lines = vec!["topic_prefix = \"new\"".to_owned()]));
    let lead = |prefix: &str, leader| {
        for (entity, partition) in ENTITIES.iter().flat_map(|entity| [0, 1, 2].map(|partition| (entity, partition))) {
            bridge.mock().partition_leader(&format!("{prefix}.{entity}.v1"), partition, leader).unwrap();
        }
    };
    lead("idaas", None);
    lead("new", None);
    bridge.wait_metric("kafka_available", &[], 0.0);
    lead("new", Some(1));
    bridge.wait_metric("kafka_available", &[], 1.0);
    let later: Vec<_> = (100..110).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    retry(|| match bridge.send(&later) {
        verdicts if verdicts.values().all(|(list, _)| *list == List::Success) => Ok(()),
        verdicts => Err(format!("{verdicts:?}")),
    });
}

#[test]
fn metrics_follow_the_applications_and_keys_of_the_reload() {
    let workforce = TestApplication::workforce();
    let keys = vec![workforce.tenant_keys.encryption_key().to_string(), "ab".repeat(32)];
    let applications = vec![TestApplication { decryption_keys: keys, ..workforce }, TestApplication::named("partners")];
    let mut bridge = Setup::of(applications.clone()).start();
    let caller = caller(&bridge, &applications);
    assert_success(&caller.deliver(caller.callback().events(&users(1))));
    assert_success(&caller.deliver_to(1, caller.callback_of(1).events(&users(1))));
    let last_event = bridge.samples("last_event_timestamp_seconds", &[("application", "workforce")]);
    assert!(bridge.admin("/metrics").text().contains("application=\"partners\""));

    assert!(!bridge.reload(|setup| setup.applications = vec![TestApplication::named("others").line("typo = true")]));
    assert_eq!(bridge.samples("decryptions_total", &[("application", "workforce")]), [1.0, 0.0]);
    assert!(!bridge.admin("/metrics").text().contains("application=\"others\""));

    assert!(bridge.reload(|setup| setup.applications = vec![TestApplication::workforce()]));
    assert!(!bridge.admin("/metrics").text().contains("application=\"partners\""));
    assert_eq!(bridge.samples("decryptions_total", &[("application", "workforce")]), [1.0]);
    assert_eq!(bridge.samples("last_event_timestamp_seconds", &[]), last_event);
    assert_eq!(bridge.metric("events_received_total", &[]), 1.0);

    // An application that returns starts with new state.
    assert!(bridge.reload(|setup| setup.applications = applications));
    assert_eq!(bridge.samples("decryptions_total", &[("application", "workforce")]), [1.0, 0.0]);
    assert_eq!(bridge.samples("decryptions_total", &[("application", "partners")]), [0.0]);
}

#[test]
fn a_replaced_file_is_taken_over_without_a_signal() {
    let mut bridge = Setup::new().spawn();
    let identity = bridge.applications[0].tenant_keys.identity.clone();
    let changed = TestApplication::of(Arc::new(tenant_keys(identity)));
    let new = caller(&bridge, std::slice::from_ref(&changed));
    let body = |caller: &Caller| caller.callback().events(&users(1)).body().unwrap();
    assert_eq!(new.post(body(&new)).status, 401);
    // The keys beside the configuration, and the configuration.
    bridge.write(|setup| setup.applications = vec![changed.clone()]);
    bridge.program().wait_for(|line| line["code"] == "files_changed");
    bridge.wait_metric("config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!((bridge.post(body(&bridge)).status, new.post(body(&new)).status), (401, 200));
    assert!(bridge.end());
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn a_half_written_file_is_told_once_and_tried_when_it_is_whole() {
    let bridge = Setup::new().spawn();
    let whole = std::fs::read(bridge.configuration()).unwrap();
    std::fs::write(bridge.configuration(), &whole[..whole.len() / 2]).unwrap();
    bridge.wait_metric("config_reloads_total", &[("result", "failed")], 1.0);
    assert_eq!(bridge.metric("config_last_reload_successful", &[]), 0.0);
    assert_success(&bridge.send(&users(2)));
    std::fs::write(bridge.configuration(), &whole).unwrap();
    bridge.wait_metric("config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!(bridge.metric("config_reloads_total", &[("result", "failed")]), 1.0);
    assert_eq!(bridge.metric("config_last_reload_successful", &[]), 1.0);
}

#[test]
fn files_are_left_alone_where_they_are_not_watched() {
    let mut bridge = Setup::new().server("watch_files = false").start();
    bridge.write(|setup| setup.applications.push(TestApplication::named("partners")));
    assert!(bridge.reload_as_it_is());
    assert_eq!(bridge.metric("config_reloads_total", &[]), 1.0);
}

#[test]
fn log_level_follows_sighup_and_back() {
    let mut bridge = Setup::new().server("watch_files = false").spawn();
    let [before, during, after] = [1, 2, 3].map(|number| event(Kind::UserCreate, number));
    assert_success(&bridge.send(std::slice::from_ref(&before)));
    assert!(bridge.reload(|setup| setup.log = "debug"));
    assert_success(&bridge.send(std::slice::from_ref(&during)));
    let line = bridge.program().wait_for(|line| line["event_id"] == during.event_id);
    assert_eq!(line["level"], "DEBUG", "{line}");
    // A rejected configuration changes nothing.
    assert!(!bridge.reload(|setup| setup.log = "loud"));
    assert!(bridge.reload(|setup| setup.log = "info"));
    assert_success(&bridge.send(std::slice::from_ref(&after)));
    assert!(bridge.end());
    let log = bridge.program().log();
    for silent in [before, after] {
        assert!(!log.contains(&silent.event_id), "{log}");
    }
    assert!(!log.contains("restart_needed"), "{log}");
}

#[test]
fn log_level_follows_a_watched_file() {
    let mut bridge = Setup::new().spawn();
    bridge.write(|setup| setup.log = "debug");
    bridge.wait_metric("config_reloads_total", &[("result", "ok")], 1.0);
    let seen = event(Kind::UserCreate, 1);
    assert_success(&bridge.send(std::slice::from_ref(&seen)));
    bridge.program().wait_for(|line| line["event_id"] == seen.event_id);
}

#[test]
fn changed_kafka_files_and_journal_keys_are_applied() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let keys = format!("keys = [{{ file = {:?} }}]", file("journal.key", JOURNAL_KEY));
    let authority = file("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    let mut bridge = Setup::new().journal_keys(&keys).property("ssl.ca.location", &authority).spawn();
    file("journal.key", &"ab".repeat(32));
    file("ca.pem", "-----BEGIN CERTIFICATE-----\nother\n");
    bridge.program().wait_for(|line| line["code"] == "producer_recreated" && line["reason"] == "settings");
    bridge.program().wait_for(|line| line["code"] == "journal_keys_replaced");
    assert_success(&bridge.send(&users(1)));
}

#[test]
fn a_rejected_kafka_property_replaces_no_client() {
    let mut bridge = Setup::new().server("watch_files = false").start();
    // A producer ignores it. The consumer that watches the cluster rejects more than max.poll.interval.ms.
    assert!(!bridge.reload_with(|setup| setup.property("session.timeout.ms", "400000")));
    assert_eq!(bridge.metric("kafka_producer_recreated_total", &[]), 0.0);
    assert_success(&bridge.send(&users(1)));
    assert!(bridge.reload_with(|setup| setup.property("max.poll.interval.ms", "500000")));
    assert_eq!(bridge.metric("kafka_producer_recreated_total", &[]), 0.0, "a reload does not count");
    bridge.wait_metric("kafka_available", &[], 1.0);
    assert_success(&bridge.send(&users(2)));
}

#[test]
fn a_missing_journal_key_rejects_the_whole_reload() {
    let mut bridge = Setup::new().deadline(2000).server("watch_files = false").spawn();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    assert!(bridge.send(&users(1)).values().all(|(_, code)| code == "not_confirmed"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("other.key");
    std::fs::write(&file, "ab".repeat(32)).unwrap();
    let keys = format!("keys = [{{ file = {file:?} }}]");
    assert!(!bridge.reload_with(|setup| {
        // The new watch of Kafka is not used either.
        let mut setup = setup.journal_keys(&keys).property("linger.ms", "1");
        setup.applications.push(TestApplication::named("partners"));
        setup
    }));
    let line = bridge.program().wait_for(|line| line["code"] == "reload_refused");
    assert!(line["message"].as_str().unwrap().contains("journal.keys: 1 entry in the journal"), "{line}");
    let status = |bridge: &TestBridge| bridge.raw(&request("POST", "/callbacks/partners", &[], b"{}")).status;
    assert_eq!(status(&bridge), 404);
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
    assert!(bridge.reload_as_it_is());
    assert_ne!(status(&bridge), 404);
}

#[test]
fn an_end_is_heard_while_a_reload_waits_for_keys() {
    let mut bridge = Setup::new().spawn();
    // Connects, and says nothing.
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let jwks = format!("\"http://{}/jwks\"", endpoint.local_addr().unwrap());
    let partners = TestApplication { jwks: Some(jwks), ..TestApplication::named("partners") };
    bridge.start_reload(|setup| setup.applications.push(partners));
    let _connection = endpoint.accept().unwrap();
    assert_success(&bridge.send(&users(1)));
    assert!(bridge.end());
    // The fetch would have ended by its time-out before that.
    let log = bridge.program().log();
    assert!(!log.contains("keys not refreshed") && !log.contains("configuration reloaded"), "{log}");
}

#[test]
fn a_bad_file_changes_nothing_and_is_told() {
    let mut bridge = Setup::new().spawn();
    for bad in ["", "no toml", "[server]\nlisten = 7\n"] {
        std::fs::write(bridge.configuration(), bad).unwrap();
        assert!(!bridge.reload_as_it_is(), "{bad:?}");
        assert_success(&bridge.send(&users(2)));
    }
    let more = Identity { application: "more".to_owned(), ..Identity::generate() };
    assert!(!bridge.reload(|setup| {
        setup.applications.push(TestApplication::of(Arc::new(tenant_keys(more))).line("typo = true"));
    }));
    let line = bridge.program().wait_for(|line| line["code"] == "reload_refused" && line.to_string().contains("typo"));
    assert!(line["message"].as_str().is_some(), "{line}");
    assert_eq!(bridge.raw(&request("POST", "/callbacks/more", &[], b"{}")).status, 404);
    assert_success(&bridge.send(&[event(Kind::UserCreate, 1)]));
    assert!(bridge.reload(|setup| drop(setup.applications.pop())));
    assert!(bridge.end());
}

#[test]
fn a_reload_loses_no_request() {
    let mut bridge = Setup::new().start();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (caller, stop) = (Arc::clone(&bridge), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut number = sender * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    assert_success(&caller.send(&[event(Kind::UserUpdateInfo, number)]));
                    number += 1;
                }
                number - sender * 1_000_000
            })
        })
        .collect();
    for _ in 0..10 {
        assert!(bridge.reload(|setup| setup.applications[0].lines.push(format!("# {}", json!(1)))));
    }
    stop.store(true, Ordering::Relaxed);
    let sent: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    assert_eq!(bridge.records().len() as u64, sent);
}
