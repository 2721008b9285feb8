//! Every type of event, in every form, to its topic.

use std::collections::BTreeMap;
use std::io::Write;

use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::answer::List;
use idaas_simulator::events::Generator;
use idaas_simulator::kind::Kind;
use idaas_simulator::payload::Form;
use idaas_simulator::sender::now_ms;
use serde_json::{Value, json};

use super::{assert_success, event, ids, users, value};
use crate::support::bridge::{Setup, TestApplication};
use crate::support::http::Connection;
use crate::support::rules::EVENT_TYPES;

const PREFIX: &str = "urn:alibaba:idaas:app:event:";

fn topic_and_type(urn: &str) -> (String, String) {
    let tail = urn.strip_prefix(PREFIX).unwrap();
    let known = EVENT_TYPES.iter().find(|(own, ..)| *own == tail);
    let (entity, action) = known.map_or(("unclassified", "unknown"), |(_, entity, action)| (entity.name(), action));
    (format!("idaas.{entity}.v1"), format!("com.alibabacloud.idaas.{entity}.{action}.v1"))
}

fn every_type_in(form: Form, plain: bool) {
    let setup = if plain { Setup::new().application("require_encryption = false") } else { Setup::new() };
    let bridge = setup.start();
    let before = now_ms();
    let events = Generator::new(3).one_of_each(now_ms());
    let callback = bridge.callback().form(form).events(&events);
    let verdicts = bridge.deliver(if plain { callback.plain() } else { callback });
    assert_eq!(verdicts.len(), events.len());
    assert_success(&verdicts);
    let identity = bridge.applications[0].tenant_keys.identity.clone();
    let records: BTreeMap<_, _> =
        bridge.records().into_iter().map(|record| (record.header("ce_id").unwrap().to_owned(), record)).collect();
    assert_eq!(records.len(), events.len());
    for event in &events {
        let record = &records[&event.event_id];
        let (topic, kind) = topic_and_type(&event.event_type);
        assert_eq!((&record.topic, record.header("ce_type")), (&topic, Some(kind.as_str())), "{}", event.event_type);
        let source = format!("/idaas/{}/{}", identity.instance_id, identity.application_id);
        assert_eq!(record.header("ce_source"), Some(source.as_str()));
        assert_eq!(record.key.as_deref(), Some(event.biz_id.as_bytes()), "{}", event.event_type);
        assert_eq!(record.header("content-type"), Some("application/json"));
        let arrival = record.timestamp.unwrap();
        assert!((before..=now_ms()).contains(&arrival), "{arrival}");
        let origin = &value(record)["origin"];
        assert_eq!(origin["eventType"], event.event_type);
        assert_eq!(origin["aliUid"], identity.ali_uid.to_string());
        assert_eq!((&origin["bizId"], &origin["eventVersion"]), (&json!(event.biz_id), &json!("V1.0")));
        assert_eq!(record.header("ce_time"), origin["eventTime"].as_str());
    }
}

#[test]
fn every_type_as_on_the_wire_comes_to_its_topic() {
    every_type_in(Form::Wire, false);
}

#[test]
fn every_type_as_documented_comes_to_its_topic() {
    every_type_in(Form::Documented, false);
}

#[test]
fn plain_events_of_every_type_reach_their_topic() {
    every_type_in(Form::Wire, true);
    every_type_in(Form::Documented, true);
}

#[test]
fn the_connection_test_alone_succeeds_as_the_console_wants_it() {
    let bridge = Setup::new().start();
    let test = event(Kind::Test, 0);
    let reply = bridge.post(bridge.callback().events(std::slice::from_ref(&test)).body().unwrap());
    let success = json!([{"eventId": test.event_id, "eventCode": "SUCCESS", "eventMessage": "SUCCESS"}]);
    let expected = json!({"successEvents": success, "skippedEvents": [], "failedEvents": [], "retriedEvents": []});
    assert_eq!((reply.status, reply.json()), (200, expected));
}

#[test]
fn no_events_are_four_empty_lists() {
    let bridge = Setup::new().start();
    for payload in [r#"{"eventData":[]}"#, r#"{"eventData":"[]"}"#, r#"{"eventData":" [ ] "}"#] {
        assert!(bridge.deliver(bridge.callback().raw_payload(payload)).is_empty(), "{payload}");
    }
    let none = bridge.post(bridge.callback().body().unwrap());
    let expected = json!({"successEvents": [], "skippedEvents": [], "failedEvents": [], "retriedEvents": []});
    assert_eq!(none.json(), expected);
    bridge.has_published_nothing();
}

#[test]
fn events_of_an_entity_keep_the_order_of_sending() {
    let bridge = Setup::new().partitions(6).start();
    let events: Vec<_> = (0..300)
        .map(|number| {
            let mut event = event(Kind::UserUpdateInfo, number);
            event.biz_id = format!("user_{}", number % 7);
            event.biz_data = json!({"userId": event.biz_id, "description": number.to_string()});
            event
        })
        .collect();
    assert_success(&bridge.send(&events));
    let mut positions: BTreeMap<String, Vec<(i32, u64)>> = BTreeMap::new();
    for record in bridge.records() {
        let user = value(&record)["user"].clone();
        let number = user["description"].as_str().unwrap().parse().unwrap();
        positions.entry(user["id"].as_str().unwrap().to_owned()).or_default().push((record.partition, number));
    }
    assert_eq!(positions.len(), 7);
    for (user, positions) in positions {
        assert!(positions.iter().all(|position| position.0 == positions[0].0), "{user} is in several partitions");
        assert!(positions.is_sorted(), "{user}: {positions:?}");
    }
}

#[test]
fn a_skipped_type_is_answered_as_skipped_and_not_published() {
    let skip = format!("skip = [{:?}]", Kind::UserLock.urn());
    let bridge = Setup::new().application(skip).start();
    let events = [event(Kind::UserLock, 1), event(Kind::UserUnlock, 2)];
    for _ in 0..2 {
        let verdicts = bridge.send(&events);
        assert_eq!(verdicts[&events[0].event_id], (List::Skipped, "not_subscribed".to_owned()));
        assert_eq!(verdicts[&events[1].event_id].0, List::Success);
    }
    assert_eq!(ids(&bridge.records()), [events[1].event_id.as_str()]);
}

#[test]
fn applications_have_keys_prefixes_and_sources_of_their_own() {
    let applications = vec![TestApplication::workforce(), TestApplication::named("partners").prefix("b2b.idaas")];
    let bridge = Setup::of(applications).start();
    let events = users(3);
    for index in [0, 1] {
        assert_success(&bridge.deliver_to(index, bridge.callback_of(index).events(&events)));
    }
    // The same ids from two applications are different events.
    let records = bridge.records();
    assert_eq!(records.len(), 6);
    for record in &records {
        let other = usize::from(record.topic.starts_with("b2b.idaas."));
        let id = &bridge.applications[other].tenant_keys.identity.application_id;
        assert!(record.header("ce_source").unwrap().ends_with(id));
    }
    // Nobody speaks for the other.
    let crossed = bridge.callback_of(0).events(&events).body().unwrap();
    let request = crate::support::http::request("POST", &bridge.path_of(1), &[], crossed.as_bytes());
    assert_eq!(bridge.raw(&request).json()["error"], "unknown_key");
    assert_eq!(bridge.records().len(), 6);
}

#[test]
fn several_decryption_keys_are_tried_and_counted() {
    let mut setup = Setup::new();
    let own = setup.applications[0].tenant_keys.encryption_key().to_string();
    setup.applications[0].decryption_keys = vec!["ab".repeat(16), "cd".repeat(32), own.to_uppercase()];
    let bridge = setup.start();
    assert_success(&bridge.send(&users(2)));
    bridge.wait_metric("decryptions_total", &[("application", "workforce"), ("key", "2")], 1.0);
    assert_eq!(bridge.metric("decryptions_total", &[]), 1.0);
}

#[test]
fn in_structured_mode_the_whole_event_is_the_value() {
    let bridge = Setup::new().topics("event_mode = \"structured\"").start();
    let events = Generator::new(5).one_of_each(now_ms());
    assert_success(&bridge.send(&events));
    let records = bridge.records();
    assert_eq!(records.len(), events.len());
    for record in &records {
        let envelope = value(record);
        assert_eq!(record.headers.len(), 1, "{:?}", record.headers);
        assert_eq!(envelope["specversion"], "1.0");
        let event = events.iter().find(|event| envelope["id"] == event.event_id).unwrap();
        assert_eq!(record.topic, topic_and_type(&event.event_type).0);
        assert_eq!(envelope["partitionkey"], event.biz_id);
    }
}

#[test]
fn a_trace_context_is_passed_on_and_anything_else_is_not() {
    let bridge = Setup::new().start();
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
    for (number, given) in [good, "nonsense", "", zero].into_iter().enumerate() {
        let events = [event(Kind::UserCreate, number as u64)];
        let body = bridge.callback().events(&events).body().unwrap();
        assert_eq!(bridge.post_with(&[("traceparent", given)], body).status, 200);
    }
    let records = bridge.records();
    let traced: Vec<_> = records.iter().filter_map(|record| record.header("ce_traceparent")).collect();
    assert_eq!((records.len(), traced), (4, vec![good]));
}

#[test]
fn a_sender_that_hangs_up_stops_nothing() {
    let bridge = Setup::new().start();
    bridge.mock().broker_round_trip_time(1, std::time::Duration::from_millis(300)).unwrap();
    let events = users(20);
    let body = bridge.callback().events(&events).body().unwrap();
    let mut connection = Connection::open(bridge.listen).unwrap();
    connection.send(&crate::support::http::request("POST", &bridge.path(), &[], body.as_bytes())).unwrap();
    bridge.wait_metric("events_received_total", &[], 20.0);
    drop(connection);
    bridge.wait_metric("events_published_total", &[], 20.0);
    bridge.mock().broker_round_trip_time(1, std::time::Duration::ZERO).unwrap();
    // The verdicts were not heard, so they are asked for again; nothing is published twice.
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.records().len(), 20);
    assert_eq!(bridge.metric("callbacks_in_flight", &[]), 0.0);
}

#[test]
fn a_sender_that_resets_its_connection_leaves_nothing_behind() {
    let mut bridge = Setup::new().start();
    bridge.mock().broker_round_trip_time(1, std::time::Duration::from_millis(500)).unwrap();
    let body = bridge.callback().events(&users(20)).body().unwrap();
    let mut stream = std::net::TcpStream::connect(bridge.listen).unwrap();
    stream.write_all(&crate::support::http::request("POST", &bridge.path(), &[], body.as_bytes())).unwrap();
    bridge.wait_metric("events_received_total", &[], 20.0);
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    bridge.wait_metric("callbacks_in_flight", &[], 0.0);
    bridge.wait_metric("events_answered_total", &[], 20.0);
    bridge.wait_metric("events_published_total", &[], 20.0);
    bridge.mock().broker_round_trip_time(1, std::time::Duration::ZERO).unwrap();
    assert!(bridge.end());
}

#[test]
fn an_odd_bizid_is_kept_and_counted() {
    let bridge = Setup::new().start();
    let item = |id: &str, kind: &str, biz_id: Value| json!({"eventId": id, "eventType": kind, "bizId": biz_id, "bizData": {"userId": "u"}, "bizId2": 1});
    let user = Kind::UserUpdateInfo.urn();
    assert_success(&bridge.send_items(vec![item("a", &user, json!({"x": 1})), item("b", "urn:x", json!(1.5))]));
    let additional = |entity: &str| value(&bridge.records_of(entity)[0])["additional"].clone();
    assert_eq!(additional("user"), json!({"bizId": {"x": 1}, "bizId2": 1}));
    assert_eq!(additional("unclassified"), json!({"bizId": 1.5, "bizId2": 1}));
    assert_eq!(bridge.metric("malformed_fields_total", &[]), 2.0);
}

#[test]
fn a_time_before_1970_is_a_time_and_never_is_none() {
    let bridge = Setup::new().start();
    let item = |id: &str, time: Value| json!({"eventId": id, "eventType": Kind::UserDelete.urn(), "eventTime": time, "bizData": {"userId": "u"}});
    let times = [json!("-86400000"), json!("-1"), json!(253_402_300_800_000_i64), json!("99999999999999999999")];
    let items = times.iter().enumerate().map(|(number, time)| item(&number.to_string(), time.clone())).collect();
    assert_success(&bridge.send_items(items));
    let records = bridge.records();
    let told: Vec<_> =
        records.iter().map(|record| (record.header("ce_time"), value(record)["origin"]["eventTime"].clone())).collect();
    let past = "1969-12-31T00:00:00.000Z";
    assert_eq!(told[0], (Some(past), json!(past)));
    for ((told, sent), record) in told.iter().zip(&times).zip(&records).skip(1) {
        assert_eq!(told, &(None, Value::Null));
        assert_eq!(&value(record)["additional"]["eventTime"], sent);
    }
}

#[test]
fn a_callback_of_fifty_thousand_events_is_answered() {
    let bridge = Setup::new().property("message.max.bytes", "8000000").start();
    let items = (0..50_000)
        .map(|number| json!({"eventId": number, "eventType": "urn:alibaba:idaas:app:event:x:y:zz"}))
        .collect();
    assert_eq!(bridge.send_items(items).len(), 50_000);
    let data: serde_json::Map<String, Value> = (0..250_000).map(|number| (format!("x{number}"), json!(0))).collect();
    let mut item = json!({"eventId": "a", "eventType": Kind::UserUpdateInfo.urn(), "bizData": data, "bizId": "u"});
    item.as_object_mut().unwrap().extend((0..50_000).map(|number| (format!("x{number}"), json!(1))));
    bridge.send_items(vec![item]);
    bridge.wait_metric("callbacks_total", &[("code", "answered")], 2.0);
}

#[test]
fn a_large_batch_is_accepted() {
    let bridge = Setup::new().start();
    let events = users(2000);
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.records().len(), 2000);
}

#[test]
fn many_unknown_fields_cost_no_more_than_their_size() {
    let bridge = Setup::new().property("message.max.bytes", "8000000").start();
    let mut data: serde_json::Map<String, Value> =
        (0..200_000).map(|number| (format!("x{number}"), json!(0))).collect();
    data.insert("userId".to_owned(), json!("user_1"));
    let item = json!({"eventId": "evnt_1", "eventType": Kind::UserUpdateInfo.urn(), "bizData": data});
    let verdicts = bridge.send_items(vec![item]);
    assert_eq!(verdicts.keys().collect::<Vec<_>>(), ["evnt_1"]);
    bridge.wait_metric("callbacks_total", &[("code", "answered")], 1.0);
}

#[test]
fn the_second_key_opens_and_escaped_claims_are_read() {
    let mut setup = Setup::new();
    let own = setup.applications[0].tenant_keys.encryption_key().to_string();
    setup.applications[0].decryption_keys = vec![ContentKey::generate_hex().to_string(), own];
    let bridge = setup.start();
    for (event, written) in users(2).into_iter().zip([r#""cipherData":"e"#, r#""cipherData":"\u0065"#]) {
        let callback = bridge.callback().events(&[event]);
        let claims = callback.claims_json().replace(r#""cipherData":"e"#, written);
        assert!(claims.contains(written), "the header of a JWE begins with another letter");
        assert_eq!(bridge.post(callback.raw_claims(claims).body().unwrap()).status, 200);
    }
    assert_eq!(bridge.records().len(), 2);
}
