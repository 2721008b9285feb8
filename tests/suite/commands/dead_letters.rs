//! Dead letters that an operator has published again: the real program asks the real service.

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};

use super::ENTITIES;
use super::setting::{Setting, run};
use crate::support::bridge::{Setup, TestApplication, TestBridge};
use crate::support::command::Shown;
use crate::support::real_kafka::shared_one_node;
use crate::support::records::retry;

/// Each record is sent twice before it is given up: with others, and alone.
const PER_RECORD: usize = 2;

fn refuse(bridge: &TestBridge, records: usize) {
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; records * PER_RECORD];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
}

fn user(id: &str) -> Value {
    json!({"eventId": id, "eventType": Kind::UserCreate.urn(), "bizId": "user_x", "eventTime": "1790000000000",
           "bizData": {"userId": "user_x", "username": "zhangsan", "n": 1}})
}

/// Makes a dead letter with its original of a good event.
fn dead_letter(bridge: &TestBridge, id: &str) {
    refuse(bridge, 1);
    let verdicts = bridge.send_items(vec![user(id)]);
    assert_eq!(verdicts[id], (List::Failed, "refused_by_broker".to_owned()));
}

fn redrive(bridge: &TestBridge, id: &str) -> Shown {
    let config = bridge.operator_configuration().display().to_string();
    run(&["dead-letter", "--config", &config, "redrive", id])
}

fn asked(bridge: &TestBridge, id: &str) -> (u16, Value) {
    let reply = bridge.ask_admin("POST", &format!("/dead-letters/{id}/redrive"));
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
}

#[test]
fn a_dead_letter_is_published_once_more_and_only_once() {
    let bridge = Setup::new().start();
    dead_letter(&bridge, "evnt_a");
    assert_eq!((bridge.records_of("user").len(), bridge.records_of("dead-letter").len()), (0, 1));
    let shown = redrive(&bridge, "evnt_a");
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("evnt_a: published to idaas.user.v1 as user.created"), "{}", shown.out);
    assert!(shown.flat().contains("find --config") && shown.out.contains("next: "), "{}", shown.out);
    let records = bridge.records_of("user");
    assert_eq!((records.len(), records[0].header("ce_id")), (1, Some("evnt_a")));
    let value: Value = serde_json::from_slice(&records[0].value).unwrap();
    assert_eq!((&value["user"]["username"], &value["additional"]["n"]), (&json!("zhangsan"), &json!(1)));
    assert_eq!(value["origin"]["eventTime"], "2026-09-21T14:13:20.000Z");
    let letter: Value = serde_json::from_slice(&bridge.records_of("dead-letter")[0].value).unwrap();
    assert_eq!(value["origin"], letter["origin"], "with the first time of acceptance");
    let again = redrive(&bridge, "evnt_a");
    assert!(again.code == 0 && again.out.contains("no second record"), "{}{}", again.out, again.err);
    assert_eq!(bridge.records_of("user").len(), 1);
    assert_eq!(bridge.metric("events_received_total", &[]), bridge.metric("events_answered_total", &[]));
}

#[test]
fn a_redriven_event_refused_again_can_be_tried_again() {
    let bridge = Setup::new().start();
    dead_letter(&bridge, "evnt_a");
    refuse(&bridge, 1);
    let shown = redrive(&bridge, "evnt_a");
    assert_eq!(shown.code, 1, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("became a dead letter again (refused_by_broker)"), "{}", shown.out);
    assert!(shown.flat().contains("fix: raise max.message.bytes"), "{}", shown.out);
    assert_eq!(bridge.records_of("dead-letter").len(), 2);
    // The second dead letter is the newest now, and the outcome of the first attempt is not that of this one.
    assert_eq!(
        asked(&bridge, "evnt_a"),
        (200, json!({"result": "published", "topic": "idaas.user.v1", "event": "user.created"}))
    );
    assert_eq!(bridge.records_of("user").len(), 1);
}

#[test]
fn a_redriven_event_in_the_journal_outlives_a_kill() {
    let mut bridge = Setup::new().deadline(2000).spawn();
    dead_letter(&bridge, "evnt_a");
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 1000];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    let shown = redrive(&bridge, "evnt_a");
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("evnt_a: in the journal"), "{}", shown.out);
    bridge.program().wait_for(|line| line["code"] == "dead_letter_redriven" && line["result"] == "journaled");
    bridge.mock().clear_request_errors(RDKafkaApiKey::Produce);
    bridge.start_again();
    // The start learns from the topics that the event is a dead letter, and publishes it all the same.
    retry(|| match bridge.records_of("user").len() {
        1.. => Ok(()),
        none => Err(format!("{none} records")),
    });
    bridge.wait_metric("journal_events", &[], 0.0);
}

#[test]
fn what_cannot_be_redriven_is_told_with_the_next_step() {
    let mut bridge = Setup::new().start();
    refuse(&bridge, 2);
    bridge.send_items(vec![user("evnt_large")]);
    let odd =
        json!({"eventId": "evnt_odd", "eventType": Kind::UserCreate.urn(), "bizData": "{\"password\":\"hunter2\","});
    bridge.send_items(vec![odd]);
    let letters = bridge.records_of("dead-letter").len();
    for (id, what, step) in [
        ("evnt_large", "has only a fingerprint of it (refused_by_broker)", "Synchronize"),
        ("evnt_odd", "not published: it still fits no record (malformed_data)", "Synchronize"),
        ("evnt_never", "is not among the dead letters", "dead-letter --config"),
    ] {
        let shown = redrive(&bridge, id);
        assert_eq!(shown.code, 1, "{id}: {}{}", shown.out, shown.err);
        assert!(shown.flat().contains(what) && shown.flat().contains(step), "{id}: {}", shown.out);
        assert!(shown.out.contains("  fix: "), "{id}: {}", shown.out);
        assert!(!shown.out.contains("hunter2"), "{}", shown.out);
    }
    assert_eq!(bridge.records_of("dead-letter").len(), letters, "no second dead letter");
    dead_letter(&bridge, "evnt_a");
    let urn = Kind::UserCreate.urn();
    assert!(bridge.reload_with(|setup| setup.application(format!("skip = [{urn:?}]"))));
    assert_eq!(asked(&bridge, "evnt_a"), (409, json!({"result": "skipped"})));
    assert_eq!(bridge.records_of("user").len(), 0);
}

#[test]
fn an_id_of_two_applications_is_redriven_by_its_qualified_name() {
    let applications = vec![TestApplication::workforce(), TestApplication::named("partners")];
    let bridge = Setup::of(applications).start();
    for index in 0..2 {
        refuse(&bridge, 1);
        bridge.deliver_to(index, bridge.callback_of(index).event_values(vec![user("evnt_a")]));
    }
    let (status, outcome) = asked(&bridge, "evnt_a");
    assert_eq!((status, &outcome["result"]), (409, &json!("ambiguous")));
    assert_eq!(outcome["ids"].as_array().unwrap().len(), 2);
    assert_eq!(asked(&bridge, "partners/evnt_a").0, 200);
    let records = bridge.records_of("user");
    assert_eq!(records.len(), 1);
    let source = records[0].header("ce_source").unwrap().to_owned();
    assert!(source.ends_with(&bridge.applications[1].tenant_keys.identity.application_id), "{source}");
}

#[test]
fn a_redrive_needs_a_service_and_its_token() {
    let setting = Setting::foreign("jwcrypto", "127.0.0.1:1");
    let shown = run(&["dead-letter", "--config", &setting.config, "redrive", "evnt_a"]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.err.contains("error: evnt_a was not published again: no service answers"), "{}", shown.err);
    assert!(shown.err.contains("  fix: start the service"), "{}", shown.err);
    let bridge = Setup::new().server("admin_token = \"hush-hush-hush-hush-hush-hush-1234\"").start();
    assert_eq!(asked(&bridge, "evnt_a").0, 401);
    let config = bridge.operator_configuration();
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap().replace("hush", "other")).unwrap();
    let shown = run(&["dead-letter", "--config", config.to_str().unwrap(), "redrive", "evnt_a"]);
    assert!(shown.code == 1 && shown.err.contains("server.admin_token"), "{}{}", shown.out, shown.err);
    let unnamed = Setup::new().start();
    let reply = unnamed.raw_admin("POST", "/dead-letters/evnt_a/redrive");
    assert_eq!(reply.status, 403, "a page in a browser must not be able to ask for it");
}

#[test]
fn a_raised_size_limit_lets_a_dead_letter_be_published() {
    let Some(kafka) = shared_one_node() else { return };
    for entity in ENTITIES {
        let limit = if entity == "user" { "1000" } else { "1000000" };
        kafka.create_topic(&format!("raised.{entity}.v1"), 3, 1, &[("max.message.bytes", limit)]);
    }
    let bridge = Setup::of(vec![TestApplication::workforce().prefix("raised")])
        .kafka(kafka.bootstrap_servers())
        .topics("prefix = \"raised\"\npartitions = 3\nreplication_factor = 1")
        .start();
    let config = bridge.operator_configuration().display().to_string();
    let mut large = user("evnt_large");
    large["bizData"]["description"] = "long ".repeat(300).into();
    assert_eq!(bridge.send_items(vec![large])["evnt_large"].1, "refused_by_broker");
    let find = || run(&["find", "--config", &config, "user_x"]);
    let found = find();
    assert!(found.code == 0 && found.out.contains("dead-letter.refused"), "{}{}", found.out, found.err);
    assert!(found.flat_err().contains("redrive evnt_large"), "{}", found.err);
    let shown = run(&["dead-letter", "--config", &config, "show", "evnt_large"]);
    assert!(shown.code == 0 && shown.flat_err().contains("redrive evnt_large"), "{}{}", shown.out, shown.err);
    let topic = ["--alter", "--entity-type", "topics", "--entity-name", "raised.user.v1"];
    let servers = ["--bootstrap-server", kafka.bootstrap_servers(), "--add-config", "max.message.bytes=1000000"];
    kafka.java("kafka.admin.ConfigCommand", &[&servers[..], &topic[..]].concat(), "");
    let redriven = redrive(&bridge, "evnt_large");
    assert_eq!(redriven.code, 0, "{}{}", redriven.out, redriven.err);
    let found = find();
    assert!(found.out.contains("user.created") && found.out.contains("raised.user.v1/"), "{}{}", found.out, found.err);
}
