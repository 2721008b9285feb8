//! Single rules, each with the events that show it.

use std::collections::BTreeMap;

use idaas_state::{Entity, Event, Fields, MEMORY, Record, Time, apply};
use serde_json::{Value, json};

use crate::folded::Folded;

fn change(entity: Entity, action: &str, seconds: i64, fields: Value) -> Event {
    let Value::Object(mut fields) = fields else { panic!("no object") };
    fields.insert("id".to_owned(), json!("x"));
    Event {
        entity,
        id: "x".to_owned(),
        action: action.to_owned(),
        time: Time::from_millis(seconds * 1000),
        recorded: Time::from_millis(seconds * 1000),
        event_id: format!("evnt_{seconds}"),
        event_type: format!("urn:{action}"),
        application_id: "app_1".to_owned(),
        instance_id: "idaas_1".to_owned(),
        fields: Fields::new(entity, &fields).unwrap(),
        additional: BTreeMap::new(),
    }
}

fn fold(events: &[Event]) -> Folded {
    let mut folded = Folded::default();
    for event in events {
        folded.apply(event);
    }
    folded
}

const DAY: i64 = 86_400;

#[test]
fn a_deletion_is_forgotten_after_seven_days() {
    let user = |action, at| change(Entity::User, action, at, json!({"username": "zs"}));
    let late = |recorded: i64| Event { recorded: Time::from_millis(recorded * 1000), ..user("updated", 50) };
    let recorded = 100 + MEMORY.as_millis() / 1000;
    assert!(fold(&[user("deleted", 100), late(recorded - 1)]).live().is_none());
    assert!(fold(&[user("deleted", 100), late(recorded)]).live().is_some());
}

#[test]
fn events_before_a_deletion_do_not_fill_the_next_entity() {
    let events = [
        change(Entity::User, "deleted", 100, json!({})),
        change(Entity::User, "created", 200, json!({"username": "new"})),
        change(Entity::User, "updated", 90, json!({"displayName": "old"})),
        change(Entity::User, "updated", 150, json!({"externalId": "between"})),
    ];
    let value = fold(&events).value().unwrap();
    assert_eq!(value["user"], json!({"id": "x", "username": "new", "externalId": "between"}));
    assert_eq!(value["state"]["lastDeletionTime"], "1970-01-01T00:01:40.000Z");
    let later = change(Entity::User, "updated", 100 + 7 * DAY, json!({}));
    let value = fold(&[events.to_vec(), vec![later]].concat()).value().unwrap();
    assert_eq!(value["state"].get("lastDeletionTime"), None);
}

#[test]
fn a_snapshot_whose_members_are_null_has_none() {
    let events = [
        change(Entity::Group, "member_added", 10, json!({"addedMembers": [{"id": "a"}]})),
        change(Entity::Group, "snapshot", 50, json!({"members": null})),
    ];
    let value = fold(&events).value().unwrap();
    assert_eq!(value["group"]["members"], json!([]));
    assert_eq!(value["state"]["membersSnapshotTime"], "1970-01-01T00:00:50.000Z");
}

#[test]
fn a_snapshot_replaces_all_members_but_the_newer() {
    let members = |ids: &[&str]| ids.iter().map(|id| json!({"id": id, "name": format!("N{id}")})).collect::<Value>();
    let events = [
        change(Entity::Group, "member_added", 10, json!({"addedMembers": members(&["a", "b"])})),
        change(Entity::Group, "member_added", 30, json!({"addedMembers": members(&["c"])})),
        change(Entity::Group, "member_removed", 31, json!({"removedMembers": members(&["d"])})),
        change(Entity::Group, "snapshot", 20, json!({"members": members(&["b", "d", "e"])})),
        change(Entity::Group, "member_added", 15, json!({"addedMembers": members(&["f"])})),
    ];
    let value = fold(&events).value().unwrap();
    let second = |second| format!("1970-01-01T00:00:{second}.000Z");
    assert_eq!(
        value["group"]["members"],
        json!([
            {"id": "b", "name": "Nb", "since": second(20)},
            {"id": "c", "name": "Nc", "since": second(30)},
            {"id": "e", "name": "Ne", "since": second(20)},
        ])
    );
    assert_eq!(value["state"]["removedMembers"], json!([{"id": "d", "at": second(31)}]));
    assert_eq!(value["state"]["membersSnapshotTime"], second(20));
    let later = change(Entity::Group, "updated", 31 + 7 * DAY, json!({}));
    let value = fold(&[events.to_vec(), vec![later]].concat()).value().unwrap();
    assert_eq!(value["state"].get("removedMembers"), None);
}

#[test]
fn a_record_has_the_attributes_of_the_newest_event() {
    let newest = change(Entity::User, "updated", 20, json!({"username": "zs"}));
    let late = change(Entity::User, "created", 10, json!({"username": "old", "displayName": "ZS"}));
    let change = apply(fold(&[newest]).known, &late);
    assert!(change.late);
    let record = Record::of(&late, &change.outcome).unwrap();
    let header = |name: &str| record.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    assert_eq!(header("ce_id"), Some("evnt_20"));
    assert_eq!(header("ce_time"), Some("1970-01-01T00:00:20.000Z"));
    assert_eq!(header("ce_source"), Some("/idaas/idaas_1/app_1"));
    assert_eq!(header("ce_type"), Some("com.alibabacloud.idaas.user.state.v1"));
    assert_eq!(header("ce_dataschema"), Some("urn:idaas-bridge:schema:user-state:v1"));
    let value: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
    assert_eq!(value["state"]["fieldTimes"], json!({"displayName": "1970-01-01T00:00:10.000Z"}));
    assert_eq!(value["state"]["lastAction"], "updated");
}

#[test]
fn a_deletion_is_a_tombstone_with_the_same_attributes() {
    let deletion = change(Entity::User, "deleted", 20, json!({}));
    let change = apply(None, &deletion);
    let record = Record::of(&deletion, &change.outcome).unwrap();
    assert_eq!((record.key.as_str(), record.value), ("x", None));
    assert!(record.headers.contains(&("ce_id", "evnt_20".to_owned())));
}
