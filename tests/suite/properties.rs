//! Properties of the whole way, over generated callbacks: nothing is lost, nothing is let in, nothing gets out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use idaas_simulator::answer::List;
use idaas_simulator::events::Generator;
use idaas_simulator::kind::Kind;
use idaas_simulator::payload::{Form, event_value};
use idaas_simulator::sender::now_ms;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::bridge::Setup;

/// Runs a property over a running bridge, which need not be restarted for each case.
fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Any JSON, also as text inside of text, with telling names among the members'.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        Just(json!("-1")),
        Just(json!("password")),
        Just(json!("{\"password\":")),
    ];
    let name = prop_oneof![
        3 => Just("password".to_owned()),
        1 => Just("userId".to_owned()),
        1 => Just("organizationalUnits".to_owned()),
        1 => Just("customFields".to_owned()),
        1 => Just("fieldValue".to_owned()),
        1 => Just("createTime".to_owned()),
        2 => ".{0,6}",
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 0..5).prop_map(Value::from),
            3 => btree_map(name.clone(), inner.clone(), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            2 => inner.prop_map(|value| Value::String(value.to_string())),
        ]
    })
}

#[derive(Debug, Clone)]
struct Sent {
    kind: usize,
    entity: u64,
    documented: bool,
}

#[test]
fn events_of_any_form_come_out_once_and_in_order() {
    let bridge = Setup::new().application("require_encryption = false").start();
    let events = vec((0..Kind::ALL.len(), 0_u64..6, any::<bool>()), 0..15)
        .prop_map(|events| events.into_iter().map(|(kind, entity, documented)| Sent { kind, entity, documented }));
    let strategy = (events.prop_map(Vec::from_iter), any::<bool>(), any::<bool>(), any::<bool>());
    let (next, expected) = (Cell::new(0_u64), RefCell::new(BTreeMap::<String, Vec<String>>::new()));
    check(80, strategy, |(sent, documented, plain, repeated)| {
        let mut items = Vec::new();
        let mut ids = Vec::new();
        for Sent { kind, entity, documented } in sent {
            let kind = Kind::ALL[kind];
            let mut event = Generator::new(entity).event(&kind.into(), 0, now_ms());
            event.event_id = format!("evnt_{}", next.replace(next.get() + 1));
            if kind == Kind::Test {
                event.biz_id = event.event_id.clone();
            }
            let key = format!("{}/{}", event.event_type.split(':').rev().nth(1).unwrap(), event.biz_id);
            expected.borrow_mut().entry(key).or_default().push(event.event_id.clone());
            ids.push(event.event_id.clone());
            items.push(event_value(&event, if documented { Form::Documented } else { Form::Wire }));
        }
        let form = if documented { Form::Documented } else { Form::Wire };
        for _ in 0..if repeated { 2 } else { 1 } {
            let callback = bridge.callback().form(form).event_values(items.clone());
            let verdicts = bridge.deliver(if plain { callback.plain() } else { callback });
            ids.sort();
            assert_eq!(verdicts.keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
            assert!(verdicts.values().all(|(list, _)| *list == List::Success), "{verdicts:?}");
        }
    });
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for record in bridge.records() {
        let kind = serde_json::from_slice::<Value>(&record.value).unwrap()["origin"]["eventType"].clone();
        let module = kind.as_str().unwrap().split(':').rev().nth(1).unwrap().to_owned();
        let key = format!("{module}/{}", String::from_utf8(record.key.clone().unwrap()).unwrap());
        found.entry(key).or_default().push(record.header("ce_id").unwrap().to_owned());
    }
    assert_eq!(found, *expected.borrow());
}

#[derive(Debug, Clone)]
enum Edit {
    Change(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Swap(prop::sample::Index),
    Cut(prop::sample::Index),
}

#[test]
fn any_change_of_a_token_is_refused_and_nothing_is_published() {
    let bridge = Setup::new().start();
    let events = Generator::new(1).one_of_each(now_ms());
    let token = bridge.callback().events(&events[..2]).token().unwrap().into_bytes();
    let at = any::<prop::sample::Index>;
    let edit = prop_oneof![
        6 => (at(), 1_u8..).prop_map(|(at, by)| Edit::Change(at, by)),
        1 => at().prop_map(Edit::Remove),
        1 => (at(), 0x20_u8..0x7f).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => at().prop_map(Edit::Swap),
        1 => at().prop_map(Edit::Cut),
    ];
    check(1500, edit, |edit| {
        let mut changed = token.clone();
        match edit {
            Edit::Change(at, by) => changed[at.index(token.len())] ^= by,
            Edit::Remove(at) => drop(changed.remove(at.index(token.len()))),
            Edit::Insert(at, byte) => changed.insert(at.index(token.len() + 1), byte),
            Edit::Swap(at) => changed.swap(at.index(token.len() - 1), at.index(token.len() - 1) + 1),
            Edit::Cut(at) => changed.truncate(at.index(token.len())),
        }
        if changed == token {
            return;
        }
        let reply = bridge.post([b"{\"event\":\"", changed.as_slice(), b"\"}"].concat());
        assert!([400, 401].contains(&reply.status), "{}: {}", reply.status, reply.text());
    });
    assert_eq!(bridge.metric("events_received_total", &[]), 0.0);
    bridge.has_published_nothing();
}

#[test]
fn any_bytes_in_the_place_of_a_body_or_a_payload_are_answered() {
    let bridge = Setup::new().start();
    check(200, vec(any::<u8>(), 0..200), |bytes| {
        assert_eq!(bridge.post(&bytes).json()["error"], "malformed");
        let reply = bridge.post(bridge.callback().raw_payload(bytes.clone()).body().unwrap());
        assert_eq!(reply.json()["error"], "unreadable");
        let reply = bridge.post(bridge.callback().raw_header(bytes.clone()).body().unwrap());
        assert!([400, 401].contains(&reply.status), "{}", reply.text());
        let reply = bridge.post(bridge.callback().raw_claims(bytes).body().unwrap());
        assert_eq!(reply.json()["error"], "malformed");
    });
    bridge.has_published_nothing();
}

#[test]
fn any_json_as_an_event_does_not_affect_other_events() {
    let bridge = Setup::new().partitions(1).start();
    let next = Cell::new(0_u64);
    let strategy = vec((0..Kind::ALL.len(), any_json(), 0..4_u8), 1..6);
    check(150, strategy, |odd| {
        let mut items = Vec::new();
        let mut good = Vec::new();
        let mut named = Vec::new();
        for (kind, value, form) in odd {
            let id = format!("evnt_{}", next.replace(next.get() + 1));
            let event = Generator::new(next.get()).event(&Kind::UserUpdateInfo.into(), 0, now_ms());
            items.push(event_value(&event, Form::Wire));
            good.push(event.event_id);
            let urn = Kind::ALL[kind].urn();
            items.push(match form {
                0 => value,
                1 => json!({"eventId": id, "eventType": urn, "bizData": value}),
                2 => json!({"eventId": id, "eventType": urn, "bizId": value, "eventTime": value, "bizData": "{}", "x": value}),
                _ => json!({"eventId": id, "eventType": urn, "bizData": {
                    "userId": "u", "organizationalUnitId": "o", "groupId": "g", "odd": value, "username": value,
                    "email": value, "createTime": value, "customFields": value, "organizationalUnits": value,
                    "userOrganizationalUnits": value, "allMembers": value, "userIds": value, "userSourceType": value,
                    "organizationalUnitName": value, "groupName": value, "description": value}}),
            });
            if form != 0 {
                named.push(id);
            }
        }
        let verdicts = bridge.send_items(items);
        for id in &good {
            assert_eq!(verdicts.get(id).map(|verdict| verdict.0), Some(List::Success), "{id}");
        }
        for id in &named {
            let list = verdicts.get(id).map(|verdict| verdict.0);
            assert!(matches!(list, Some(List::Success | List::Failed)), "{id}: {list:?}");
        }
    });
    // Reading them back judges them: conforming to the schemas, and without a password at any depth.
    let counted = bridge.metric("events_published_total", &[]);
    assert_eq!(bridge.records().len() as f64, counted);
}
