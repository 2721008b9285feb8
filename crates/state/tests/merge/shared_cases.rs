//! The cases that the example consumers share.

use std::collections::BTreeMap;

use idaas_state::{Entity, Event, Time};
use serde_json::{Map, Value};

use crate::folded::Folded;

#[test]
fn the_shared_cases_give_the_users_of_the_example_consumers() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/fixtures/merge/users.json")).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let mut users: BTreeMap<String, Folded> = BTreeMap::new();
        let mut now = i64::MIN;
        for record in case["records"].as_array().unwrap() {
            let headers = ["id", "source", "time"].map(|name| (format!("ce_{name}"), record[name].as_str()));
            let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), (*value)?.as_bytes())));
            let timestamp = record["timestamp"].as_i64().unwrap_or_default();
            let data = record["data"].to_string();
            let Ok(mut event) = Event::read(Entity::User, headers, data.as_bytes(), timestamp) else { continue };
            // The cases have no timestamps: records arrive as their events happen, or right after a newer one.
            now = now.max(event.time.as_millis());
            event.recorded = Time::from_millis(now);
            users.entry(event.id.clone()).or_default().apply(&event);
        }
        let users: Map<_, _> = users
            .into_iter()
            .filter_map(|(id, user)| {
                let value = user.value()?;
                let mut user = value["user"].clone();
                if let Some(additional) = value.get("additional") {
                    user["additional"] = additional.clone();
                }
                Some((id, user))
            })
            .collect();
        assert_eq!(Value::Object(users), case["users"], "{}", case["name"]);
    }
}
