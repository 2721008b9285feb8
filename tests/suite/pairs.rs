//! Fixtures in pairs: events as IDaaS sends them, and the records that consumers get.
//!
//! Each file under `tests/fixtures/pairs` holds `events`, elements of `eventData`, and `records`, one for each event
//! that has an id: topic, key, headers, value. Of `origin` a file says only what the event says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::bridge::Setup;
use crate::support::records::Seen;

/// A record in the form of a fixture.
fn shown(record: &Seen) -> Value {
    let mut value: Value = serde_json::from_slice(&record.value).unwrap();
    let origin = value["origin"].as_object_mut().unwrap();
    for name in ["instanceId", "applicationId", "aliUid", "eventVersion", "receivedAt"] {
        assert!(origin.remove(name).is_some_and(|value| value.is_string()), "{name}");
    }
    let headers: BTreeMap<_, _> = ["ce_type", "ce_subject", "ce_time"]
        .into_iter()
        .filter_map(|name| Some((name, record.header(name)?)))
        .collect();
    let (prefix, topic) = record.topic.split_once('.').unwrap();
    assert_eq!(prefix, "idaas");
    let key = record.key.clone().map(|key| String::from_utf8(key).unwrap());
    json!({"topic": topic, "key": key, "headers": headers, "value": value})
}

#[test]
fn events_become_the_records_that_are_written_down() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pairs");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert!(files.len() >= 10);
    let bridge = Setup::new().start();
    let mut expected = BTreeMap::new();
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let pair: Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let events = pair["events"].as_array().unwrap().clone();
        let records = pair["records"].as_array().unwrap();
        assert_eq!(bridge.send_items(events).len(), records.len(), "{name}");
        for record in records {
            let id = record["value"]["origin"]["eventId"].as_str().unwrap().to_owned();
            let twin = expected.insert(id.clone(), (name, record.clone()));
            assert!(twin.is_none(), "{name}: {id} is in two files");
        }
    }
    let records = bridge.records();
    assert_eq!(records.len(), expected.len());
    for record in &records {
        let (name, expected) = &expected[record.header("ce_id").unwrap()];
        let found = shown(record);
        assert!(found == *expected, "{name}: {found:#}\nis not {expected:#}");
    }
}
