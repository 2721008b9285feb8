//! The consumer of `examples/`: it reads both modes, and merges by the rules that `docs/consumers.md` gives.
//!
//! The cases are those of `tests/examples/test_consumer.py`.

#[path = "../../examples/consumer/cloud_event.rs"]
mod cloud_event;
#[path = "../../examples/consumer/directory.rs"]
mod directory;

use cloud_event::CloudEvent;
use directory::{Directory, Outcome};
use serde_json::{Value, json};

/// The event of a case's record, as read from Kafka in binary or structured mode.
fn read(record: &Value, structured: bool) -> CloudEvent {
    let mut attributes = vec![("specversion", "1.0"), ("type", "com.alibabacloud.idaas.user.updated.v1")];
    attributes.extend(["id", "source", "time"].into_iter().filter_map(|name| Some((name, record[name].as_str()?))));
    let timestamp = record["timestamp"].as_i64().unwrap_or_default();
    if structured {
        let mut value = json!({"datacontenttype": "application/json", "data": record["data"]});
        for (name, attribute) in attributes {
            value[name] = json!(attribute);
        }
        let headers = [("content-type", &b"application/cloudevents+json; charset=UTF-8"[..])];
        return CloudEvent::read(headers.into_iter(), value.to_string().as_bytes(), timestamp).unwrap();
    }
    let headers: Vec<_> = attributes.iter().map(|(name, value)| (format!("ce_{name}"), value.as_bytes())).collect();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), *value));
    let headers = headers.chain([("content-type", &b"application/json"[..])]);
    CloudEvent::read(headers, record["data"].to_string().as_bytes(), timestamp).unwrap()
}

const fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Repeated => "repeated",
        Outcome::Late => "late",
        Outcome::Foreign => "foreign",
    }
}

#[test]
fn the_consumer_merges_events_by_the_rules() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../fixtures/merge/users.json")).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        for structured in [false, true] {
            let mut directory = Directory::default();
            let records = case["records"].as_array().unwrap();
            let outcomes: Vec<_> =
                records.iter().map(|record| name(directory.apply(&read(record, structured)))).collect();
            assert_eq!(json!(outcomes), case["outcomes"], "{}", case["name"]);
            let users: serde_json::Map<_, _> =
                directory.ids().map(|id| (id.to_owned(), directory.user(id).unwrap())).collect();
            assert_eq!(json!(users), case["users"], "{}", case["name"]);
        }
    }
}
