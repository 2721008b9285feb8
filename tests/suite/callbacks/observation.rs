//! What operators see: metrics that add up, log lines that say what happened and nothing of anybody.

use std::collections::BTreeMap;

use idaas_simulator::events::Generator;
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::json;

use super::{assert_success, event, users};
use crate::support::bridge::{Setup, TestApplication};
use crate::support::http::request;

#[test]
fn received_and_answered_counts_add_up() {
    let bridge = Setup::new().application(format!("skip = [{:?}]", Kind::UserLock.urn())).start();
    let mut items: Vec<_> = Generator::new(9)
        .one_of_each(now_ms())
        .iter()
        .map(|event| idaas_simulator::payload::event_value(event, Default::default()))
        .collect();
    items.push(items[3].clone());
    items.push(json!({"eventType": Kind::UserCreate.urn(), "bizData": {}}));
    items.push(json!({"eventId": "a", "eventType": Kind::UserCreate.urn(), "bizData": {}}));
    items.push(json!({"eventId": "b"}));
    for _ in 0..2 {
        assert_eq!(bridge.send_items(items.clone()).len(), 27);
    }
    for body in ["{}".to_owned(), bridge.callback().expired().body().unwrap()] {
        bridge.post(body);
    }
    let count = |name, labels: &[(&str, &str)]| bridge.metric(name, labels);
    assert_eq!((count("events_received_total", &[]), count("events_answered_total", &[])), (54.0, 54.0));
    let lists =
        ["success", "skipped", "failed", "retried"].map(|list| count("events_answered_total", &[("list", list)]));
    assert_eq!(lists, [48.0, 2.0, 4.0, 0.0]);
    assert_eq!(count("events_received_total", &[("entity", "user"), ("action", "locked")]), 2.0);
    assert_eq!(count("events_received_total", &[("entity", "dead-letter"), ("action", "refused")]), 4.0);
    // 24 published types but the skipped one, and the three dead letters, also the one without an id: known the second
    // time.
    assert_eq!(count("events_duplicate_total", &[]), 27.0);
    assert_eq!(count("events_published_total", &[("entity", "dead-letter")]), 3.0);
    let codes = ["answered", "malformed", "expired"].map(|code| count("callbacks_total", &[("code", code)]));
    assert_eq!((codes, count("callbacks_total", &[])), ([2.0, 1.0, 1.0], 4.0));
    assert_eq!(count("callback_duration_seconds_count", &[("application", "workforce")]), 4.0);
    assert_eq!(count("decryptions_total", &[("key", "0")]), 2.0);
    for zero in ["callbacks_in_flight", "events_in_flight", "draining"] {
        assert_eq!(count(zero, &[]), 0.0, "{zero}");
    }
    assert_eq!((count("ready", &[]), count("build_info", &[]), count("jwks_keys", &[])), (1.0, 1.0, 1.0));
    let last = count("last_event_timestamp_seconds", &[("application", "workforce")]);
    assert!((now_ms() as f64 / 1000.0 - last).abs() < 60.0, "{last}");
}

#[test]
fn counters_exist_from_the_start() {
    let mut setup = Setup::new().not_ready();
    let own = setup.applications[0].tenant_keys.encryption_key().to_string();
    setup.applications[0].decryption_keys = vec!["ab".repeat(32), own];
    // Port 1 of the loopback address refuses connections.
    let without_keys = TestApplication::named("partners");
    setup.applications.push(TestApplication { jwks: Some("\"http://127.0.0.1:1/jwks\"".to_owned()), ..without_keys });
    let bridge = setup.start();
    bridge.wait_metric("jwks_keys", &[], 1.0);
    let of = |name, application| bridge.samples(name, &[("application", application)]);
    assert_eq!((of("decryptions_total", "workforce"), of("decryptions_total", "partners")), (vec![0.0; 2], vec![0.0]));
    for application in ["workforce", "partners"] {
        assert_eq!(of("jwks_refreshes_total", application).len(), 2, "{application}");
        // The start, so that an application that never sends anything is seen to be silent.
        assert!((now_ms() as f64 / 1000.0 - of("last_event_timestamp_seconds", application)[0]).abs() < 60.0);
    }
    let metrics = bridge.admin("/metrics");
    let text = metrics.text();
    let of_nobody: Vec<_> = text.lines().filter(|line| line.contains("application=\"unknown\"")).collect();
    assert_eq!(of_nobody, ["idaas_bridge_callbacks_total{application=\"unknown\",code=\"not_found\"} 0"]);
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
        assert!(line.is_some_and(|value| value.parse::<f64>().unwrap() >= 0.0), "process_{name}");
    }
    assert_eq!((of("jwks_age_seconds", "workforce").len(), of("jwks_age_seconds", "partners").len()), (1, 0));
    assert_eq!(of("jwks_keys", "partners"), [0.0]);

    assert_success(&bridge.send(&users(1)));
    let opened =
        ["0", "1"].map(|key| bridge.metric("decryptions_total", &[("key", key), ("application", "workforce")]));
    assert_eq!(opened, [0.0, 1.0]);
}

#[test]
fn schema_drift_is_counted() {
    let bridge = Setup::new().start();
    let data =
        json!({"userId": "u", "createTime": "yesterday", "brandNew": 1, "sourceType": "ad", "userSourceType": "ldap"});
    let item = json!({"eventId": "a", "eventType": Kind::UserUpdateInfo.urn(), "bizData": data});
    assert_success(&bridge.send_items(vec![item]));
    let drift = ["unknown_fields_total", "malformed_fields_total", "conflicting_fields_total"];
    assert_eq!(drift.map(|name| bridge.metric(name, &[("entity", "user")])), [1.0, 1.0, 1.0]);
}

#[test]
fn what_a_sender_writes_never_becomes_a_label() {
    let bridge = Setup::new().start();
    for path in ["/callbacks/evil%22%7D", "/callbacks/%0a", "/callbacks/another", "/x?y=z"] {
        assert_eq!(bridge.raw(&request("POST", path, &[], b"{}")).status, 404);
    }
    let item = json!({"eventId": "a", "eventType": "urn:evil\"}", "bizData": {"evil\"}": 1}});
    assert_success(&bridge.send_items(vec![item]));
    let metrics = bridge.admin("/metrics");
    assert!(!metrics.text().contains("evil") && !metrics.text().contains("another"));
    assert_eq!(bridge.metric("callbacks_total", &[("application", "unknown")]), 4.0);
    let page = bridge.admin("/");
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("evil"));
}

#[test]
fn a_refusal_is_one_log_line_without_content() {
    let bridge = Setup::new().server("trusted_proxies = [\"127.0.0.1\"]").spawn();
    let mut bridge = bridge;
    let body = bridge.callback().claim("exp", 1).events(&users(1)).body().unwrap();
    let reply = bridge.post_with(&[("X-Forwarded-For", "198.51.100.7")], &body);
    assert_eq!(reply.status, 401);
    let line = bridge.program().wait_for(|line| line["code"] == "expired");
    let told = (&line["level"], &line["application"], &line["address"], &line["target"]);
    assert_eq!(told, (&json!("WARN"), &json!("workforce"), &json!("198.51.100.7"), &json!("callback")));
    bridge.raw(&request("POST", "/callbacks/somebody@example.com", &[], b"{}"));
    let line = bridge.program().wait_for(|line| line["code"] == "not_found");
    assert_eq!(line["application"], "unknown");
    assert!(bridge.end());
    let log = bridge.program().log();
    assert_eq!(log.matches("\"callback refused\"").count(), 2, "{log}");
    let token = body.split('"').nth(3).unwrap();
    for part in token.split('.').chain(["somebody@example.com"]) {
        assert!(!log.contains(part), "{log}");
    }
}

#[test]
fn event_lines_name_the_offset_and_no_personal_data() {
    let mut bridge = Setup::new().log("debug").spawn();
    let mut somebody = event(Kind::UserCreate, 1);
    somebody.biz_data = json!({"userId": somebody.biz_id, "username": "zhangsan", "email": "zs@example.com",
        "phoneNumber": "15512345678", "password": "Tr0ub4dor&3"});
    assert_success(&bridge.send(&[somebody.clone()]));
    let line = bridge.program().wait_for(|line| line["event_id"] == somebody.event_id);
    let record = &bridge.records()[0];
    let told: BTreeMap<_, _> =
        [("topic", json!(record.topic)), ("partition", json!(record.partition)), ("offset", json!(record.offset))]
            .into();
    for (name, value) in told {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(line["milliseconds"].is_number(), "{line}");
    assert!(bridge.end());
    let log = bridge.program().log();
    for private in [
        "zhangsan",
        "zs@example.com",
        "15512345678",
        "Tr0ub4dor&3",
        &bridge.applications[0].tenant_keys.encryption_key(),
    ] {
        assert!(!log.contains(private), "{log}");
    }
}

#[test]
fn with_log_events_each_event_is_one_line_at_info() {
    for mode in ["binary", "structured"] {
        let mut bridge = Setup::new().topics(format!("event_mode = {mode:?}")).log("info\"\nevents = true #").spawn();
        let events = [event(Kind::UserCreate, 1), event(Kind::GroupCreate, 2)];
        assert_success(&bridge.send(&events));
        for event in &events {
            let line = bridge.program().wait_for(|line| line["event_id"] == event.event_id);
            let told = (&line["level"], &line["application"], &line["entity_id"], &line["verdict"]);
            assert_eq!(told, (&json!("INFO"), &json!("workforce"), &json!(event.biz_id), &json!("SUCCESS")), "{line}");
            assert!(line["type"].as_str().unwrap().ends_with(".created.v1"), "{line}");
            assert!(line["topic"].is_string() && line["partition"].is_number() && line["offset"].is_number(), "{line}");
        }
    }
}

#[test]
fn a_flood_of_refusals_is_summarized() {
    let mut bridge = Setup::new().spawn();
    for _ in 0..30 {
        assert_eq!(bridge.post("{}").status, 400);
    }
    bridge.wait_metric("callbacks_refused_log_lines_suppressed_total", &[], 20.0);
    assert!(bridge.end());
    let line = bridge.program().wait_for(|line| line["more"] == 20);
    assert_eq!((&line["code"], &line["network"]), (&json!("malformed"), &json!("127.0.0.0/24")), "{line}");
    assert_eq!(bridge.program().log().matches("\"callback refused\"").count(), 10);
}

#[test]
fn health_and_readiness_are_told_on_the_admin_listener_only() {
    let mut setup = Setup::new().not_ready();
    setup.applications[0].jwks = Some("\"http://127.0.0.1:1/jwks\"".to_owned());
    let bridge = setup.start();
    assert_eq!(bridge.admin("/livez").status, 200);
    let readiness = bridge.admin("/readyz");
    assert_eq!((readiness.status, readiness.text()), (503, "no application has its public keys yet\n"));
    assert_eq!(bridge.metric("ready", &[]), 0.0);
    assert_eq!(bridge.admin("/callbacks/workforce").status, 404);
    assert_eq!(bridge.raw(&request("GET", "/readyz", &[], b"")).status, 404);
}
