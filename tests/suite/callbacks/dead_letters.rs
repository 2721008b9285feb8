//! Events that fit no record: each is kept with its reason, and none takes a neighbour down.

use std::collections::BTreeMap;

use idaas_simulator::answer::List;
use idaas_simulator::kind::Kind;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::passwords::opened;
use super::{assert_success, event, ids, value};
use crate::support::bridge::{JOURNAL_KEY, Setup, TestBridge};
use crate::support::records::retry;

/// One letter per given event, by its id.
fn letters(bridge: &TestBridge) -> BTreeMap<String, Value> {
    let letters = bridge.records_of("dead-letter");
    letters.iter().map(|record| (record.header("ce_id").unwrap().to_owned(), value(record))).collect()
}

fn failed(bridge: &TestBridge, item: &Value, reason: &str) -> Value {
    let id = item["eventId"].as_str().unwrap().to_owned();
    let verdicts = bridge.send_items(vec![item.clone()]);
    assert_eq!(verdicts.get(&id), Some(&(List::Failed, reason.to_owned())), "{item}");
    let letter = letters(bridge)[&id].clone();
    assert_eq!((&letter["reason"], &letter["action"]), (&json!(reason), &json!("refused")));
    letter
}

#[test]
fn a_bad_event_of_each_kind_leaves_its_neighbours_alone() {
    let bridge = Setup::new().start();
    let good = |number| idaas_simulator::payload::event_value(&event(Kind::UserCreate, number), Default::default());
    let user = Kind::UserCreate.urn();
    let bad = [
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({"eventId": "no_type"}),
        json!({"eventId": "empty_type", "eventType": ""}),
        json!({"eventId": "number_as_type", "eventType": 7, "bizData": {"userId": "u"}}),
        json!({"eventType": user, "bizData": {"userId": "u"}}),
        json!({"eventId": "", "eventType": user, "bizData": {"userId": "u"}}),
        json!({"eventId": "no_data", "eventType": user}),
        json!({"eventId": "null_data", "eventType": user, "bizData": null}),
        json!({"eventId": "list_data", "eventType": user, "bizData": "[]"}),
        json!({"eventId": "broken_data", "eventType": user, "bizData": "{\"userId\":"}),
        json!({"eventId": "no_user", "eventType": user, "bizData": {"username": "x"}}),
        json!({"eventId": "no_unit", "eventType": Kind::UnitUpdate.urn(), "bizId": "ou_1", "bizData": {"name": "x"}}),
        json!({"eventId": "no_group", "eventType": Kind::GroupUpdate.urn(), "bizId": "g_1", "bizData": {"groupId": ""}}),
        json!({"eventId": "large", "eventType": user, "bizData": {"userId": "u", "description": "x".repeat(1_100_000)}}),
    ];
    let items: Vec<_> = bad.iter().enumerate().flat_map(|(n, bad)| [good(2 * n as u64), bad.clone()]).collect();
    let verdicts = bridge.send_items(items);
    let failed: BTreeMap<_, _> = verdicts
        .iter()
        .filter(|(_, (list, _))| *list == List::Failed)
        .map(|(id, (_, code))| (id.as_str(), code.as_str()))
        .collect();
    let expected = BTreeMap::from([
        ("no_type", "malformed_event"),
        ("empty_type", "malformed_event"),
        ("number_as_type", "malformed_event"),
        ("no_data", "malformed_data"),
        ("null_data", "malformed_data"),
        ("list_data", "malformed_data"),
        ("broken_data", "malformed_data"),
        ("no_user", "missing_entity_id"),
        ("no_unit", "missing_entity_id"),
        ("no_group", "missing_entity_id"),
        ("large", "record_too_large"),
    ]);
    assert_eq!(failed, expected);
    assert_eq!(verdicts.len(), bad.len() + expected.len());
    let records = bridge.records();
    assert_eq!(records.iter().filter(|record| record.topic == "idaas.user.v1").count(), bad.len());
    assert_eq!(bridge.records_of("dead-letter").len(), bad.len());
    assert_eq!(bridge.metric("dead_letters_total", &[]), bad.len() as f64);
    assert_eq!(bridge.metric("events_received_total", &[]), bridge.metric("events_answered_total", &[]));
}

#[test]
fn what_can_be_searched_is_kept_as_sent_without_passwords() {
    let bridge = Setup::new().start();
    let item = json!({
        "eventId": "evnt_1", "eventType": Kind::UserCreate.urn(), "eventTime": "1648625692578", "odd": {"password": "p"},
        "bizData": "{\"username\":\"zs\",\"password\":\"p\",\"n\":12345678901234567890.10}"
    });
    let letter = failed(&bridge, &item, "missing_entity_id");
    let mut expected = item;
    expected["odd"] = json!({});
    expected["bizData"] = json!("{\"username\":\"zs\",\"n\":12345678901234567890.10}");
    assert_eq!(letter["original"], expected);
    assert_eq!(letter["origin"]["eventTime"], "2022-03-30T07:34:52.578Z");
}

#[test]
fn what_cannot_be_searched_is_sealed_with_the_journal_key() {
    let bridge = Setup::new().start();
    let item = json!({
        "eventId": "evnt_1", "eventType": Kind::UserCreate.urn(), "bizData": "{\"password\":\"hunter2\","
    });
    let letter = failed(&bridge, &item, "malformed_data");
    let (original, _) = opened(letter["original"].as_str().unwrap(), JOURNAL_KEY);
    assert_eq!(serde_json::from_slice::<Value>(&original).unwrap(), item);

    bridge.send_items(vec![json!("password=hunter2")]);
    let sealed: Vec<_> =
        letters(&bridge).into_values().filter(|letter| letter["reason"] == "malformed_event").collect();
    let (original, _) = opened(sealed[0]["original"].as_str().unwrap(), JOURNAL_KEY);
    assert_eq!(original, b"\"password=hunter2\"");
}

#[test]
fn what_is_too_large_is_kept_as_size_and_fingerprint() {
    let bridge = Setup::new().start();
    let description = "x".repeat(1_000_000);
    let text = format!(
        "{{\"eventId\":\"evnt_1\",\"eventType\":\"{}\",\"bizData\":{{\"userId\":\"u\",\"description\":\"{description}\"}}}}",
        Kind::UserUpdateInfo.urn()
    );
    let verdicts = bridge.deliver(bridge.callback().raw_payload(format!("{{\"eventData\":[{text}]}}")));
    assert_eq!(verdicts["evnt_1"], (List::Failed, "record_too_large".to_owned()));
    let letter = letters(&bridge)["evnt_1"].clone();
    assert_eq!(letter["originalSize"], text.len());
    let sha256: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(letter["originalSha256"], sha256);
    assert!(letter.get("original").is_none());
}

#[test]
fn the_fingerprint_is_of_the_event_without_passwords() {
    let bridge = Setup::new().start();
    let text = format!(
        "{{ \"eventId\" : \"evnt_1\", \"eventType\" : \"{}\",\n \"bizData\" : {{ \"userId\" : \"\\u0075\", \"passwordSet\" : true, \
         \"description\" : \"{}\" }} }}",
        Kind::UserUpdateInfo.urn(),
        "x".repeat(1_000_000)
    );
    bridge.deliver(bridge.callback().raw_payload(format!("{{\"eventData\":[{text}]}}")));
    let letter = letters(&bridge)["evnt_1"].clone();
    let sha256: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&letter["originalSize"], &letter["originalSha256"]), (&json!(text.len()), &json!(sha256)));
}

#[test]
fn an_oversized_id_type_or_time_becomes_a_dead_letter() {
    let bridge = Setup::new().start();
    let (large, user) = ("x".repeat(1_100_000), Kind::UserUpdateInfo.urn());
    let data = json!({"userId": "u"});
    for (number, (member, value)) in
        [("eventType", json!(large)), ("bizId", json!(large)), ("eventTime", json!([large]))].into_iter().enumerate()
    {
        let mut item = json!({"eventId": format!("evnt_{number}"), "eventType": user, "bizData": data});
        item[member] = value;
        let letter = failed(&bridge, &item, "record_too_large");
        assert!(letter["originalSize"].as_u64().unwrap() > 1_100_000 && letter["origin"].get(member).is_none());
    }
    let id = &large;
    let verdicts = bridge.send_items(vec![json!({"eventId": id, "eventType": user, "bizData": data})]);
    assert_eq!(verdicts[id], (List::Failed, "record_too_large".to_owned()));
    assert_eq!(
        (letters(&bridge).len(), bridge.metric("dead_letters_total", &[("reason", "record_too_large")])),
        (4, 4.0)
    );
    let payload = json!({"aliUid": large, "eventVersion": large, "eventData": [
        {"eventId": "a", "eventType": user, "bizData": data}]});
    assert_success(&bridge.deliver(bridge.callback().raw_payload(payload.to_string())));
}

#[test]
fn a_rejected_record_is_one_dead_letter_counted_once() {
    let bridge = Setup::new().start();
    let refuse = |times| {
        // Each record is sent twice before it is given up: with others, and alone.
        let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; times];
        bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    };
    let count = |reason| bridge.metric("dead_letters_total", &[("reason", reason)]);
    refuse(4);
    let item = json!({"eventId": "a", "eventType": Kind::UserDelete.urn(), "bizData": {"userId": "u"}});
    let letter = failed(&bridge, &item, "refused_by_broker");
    assert!(letter.get("original").is_none() && letter["originalSize"].is_u64(), "{letter}");
    refuse(2);
    let item = json!({"eventId": "b", "eventType": Kind::UserDelete.urn(), "bizData": []});
    failed(&bridge, &item, "malformed_data");
    failed(&bridge, &item, "malformed_data");
    assert_eq!((count("refused_by_broker"), count("malformed_data")), (1.0, 1.0));
    assert_eq!(bridge.records().len(), 2);
}

#[test]
fn a_dead_letter_counts_once_it_is_confirmed_and_only_once() {
    let bridge = Setup::new().deadline(2000).start();
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION; 1000];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    let user = Kind::UserDelete.urn();
    let items = vec![
        json!({"eventId": "a", "eventType": user, "bizData": {"userId": "u"}}),
        json!({"eventId": "b", "eventType": user, "bizData": []}),
    ];
    bridge.send_items(items.clone());
    let attempts = |id| {
        let shown = bridge.ask_admin("GET", &format!("/journal/entries/{id}")).json();
        shown["waiting"]["attempts"].as_u64().unwrap_or_default()
    };
    // Each attempt makes the dead letter again, from the entry in the journal.
    retry(|| match (attempts("a"), attempts("b")) {
        (3.., 3..) => Ok(()),
        attempts => Err(format!("{attempts:?} attempts")),
    });
    assert_eq!(bridge.metric("dead_letters_total", &[]), 0.0, "none is published yet");
    bridge.mock().clear_request_errors(RDKafkaApiKey::Produce);
    bridge.wait_metric("journal_events", &[], 0.0);
    bridge.send_items(items);
    let count = |reason| bridge.metric("dead_letters_total", &[("reason", reason)]);
    assert_eq!((count("refused_by_broker"), count("malformed_data")), (1.0, 1.0));
    assert_eq!(letters(&bridge).len(), 2);
}

#[test]
fn an_event_without_an_id_is_published_but_not_answered() {
    let bridge = Setup::new().start();
    let item = json!({"eventType": Kind::UserDelete.urn(), "bizId": "user_1", "bizData": "{\"userId\":\"user_1\"}"});
    assert!(bridge.send_items(vec![item.clone()]).is_empty());
    let records = bridge.records();
    assert_eq!(records.len(), 1);
    let letter = value(&records[0]);
    assert_eq!((&letter["reason"], &letter["original"]), (&json!("missing_event_id"), &item));
    assert_eq!(records[0].key.as_deref(), Some(&b"user_1"[..]));
    bridge.wait_metric("dead_letters_total", &[("reason", "missing_event_id")], 1.0);
    assert_eq!(bridge.metric("events_received_total", &[]), 0.0);
    // Two without an id in one callback are two; the first is the one of the callback before.
    assert!(bridge.send_items(vec![item.clone(), item]).is_empty());
    let records = bridge.records();
    let mut all = ids(&records);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2);
}

#[test]
fn an_event_without_an_id_has_the_same_id_in_each_delivery() {
    let delivered = |password: &str| {
        let bridge = Setup::new().start();
        let odd = json!({"eventType": Kind::UserDelete.urn(), "bizData": {"userId": "user_1", "password": password}});
        for _ in 0..6 {
            // A new token each time: IDaaS signs and encrypts each delivery again.
            assert!(bridge.send_items(vec![json!(7), odd.clone()]).is_empty());
        }
        let records = bridge.records();
        assert_eq!(records.len(), 2, "each once");
        let sources: std::collections::BTreeSet<_> = records.iter().map(|r| r.header("ce_source").unwrap()).collect();
        let ids: std::collections::BTreeSet<_> = ids(&records).into_iter().map(str::to_owned).collect();
        (ids, sources.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let (ids, sources) = delivered("p");
    let (others, other_sources) = delivered("another");
    assert_eq!(ids.len(), 2);
    assert_eq!(ids == others, sources == other_sources, "{ids:?} {others:?}");
}

#[test]
fn the_first_reason_counts() {
    let bridge = Setup::new().start();
    let large = "x".repeat(1_100_000);
    failed(&bridge, &json!({"eventId": "a", "bizData": large}), "malformed_event");
    failed(&bridge, &json!({"eventId": "b", "eventType": Kind::UserCreate.urn(), "bizData": large}), "malformed_data");
    let no_entity = json!({"eventId": "c", "eventType": Kind::GroupCreate.urn(), "bizData": {"groupName": large}});
    failed(&bridge, &no_entity, "missing_entity_id");
}

#[test]
fn an_unknown_type_is_no_dead_letter_whatever_its_data() {
    let bridge = Setup::new().start();
    for (number, data) in [json!(null), json!("text"), json!("{\"a\":"), json!([1, {"password": "p"}]), json!(1.5)]
        .into_iter()
        .enumerate()
    {
        let item = json!({"eventId": format!("evnt_{number}"), "eventType": "urn:x:y", "bizData": data});
        assert_success(&bridge.send_items(vec![item]));
    }
    assert_success(&bridge.send_items(vec![json!({"eventId": "bare", "eventType": "x"})]));
    assert_eq!(bridge.records_of("unclassified").len(), 6);
}
