//! The merge rules, against a slow model that keeps all events, and the cases that the example consumers share.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail by panicking, as the tests do"
)]

use std::collections::BTreeMap;

use idaas_state::{Entity, Entry, Event, Fields, Json, MEMORY, Outcome, Record, SharedStr, State, Time, apply};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One entity as the runtime keeps it: as JSON between two events, so that nothing is lost in the topic.
#[derive(Default, Clone, PartialEq, Debug)]
struct Folded {
    known: Option<Entry>,
}

impl Folded {
    fn apply(&mut self, event: &Event) -> bool {
        let known = self.known.take().map(|entry| match entry {
            Entry::Live(state) => Entry::Live(Box::new(State::from_json(event.entity, &state.to_json()).unwrap())),
            deleted @ Entry::Deleted(_) => deleted,
        });
        let change = apply(known.clone(), event);
        match change.outcome {
            Outcome::Unchanged => self.known.clone_from(&known),
            Outcome::Updated(state) => {
                assert_eq!(State::from_json(event.entity, &state.to_json()).as_ref(), Ok(&*state));
                self.known = Some(Entry::Live(state));
            }
            Outcome::Deleted(deletion) => self.known = Some(Entry::Deleted(deletion)),
        }
        self.known != known
    }

    fn live(&self) -> Option<&State> {
        match self.known.as_ref()? {
            Entry::Live(state) => Some(state),
            Entry::Deleted(_) => None,
        }
    }

    fn value(&self) -> Option<Value> {
        self.live().map(|state| serde_json::from_slice(&state.to_json()).unwrap())
    }
}

/// The slow model: all events since the last deletion that counts.
#[derive(Default)]
struct Model<'e> {
    events: Vec<&'e Event>,
    deleted_at: Option<Time>,
}

impl<'e> Model<'e> {
    fn apply(&mut self, event: &'e Event) {
        let newest = self.events.iter().map(|event| event.time).max();
        if self.deleted_at.is_some_and(|at| event.time <= at) {
            return;
        }
        if event.action != "deleted" {
            self.events.push(event);
        } else if newest.is_none_or(|newest| event.time >= newest) {
            self.events.clear();
            self.deleted_at = Some(event.time);
        }
    }

    /// The newest of the events that say something about a thing, and what they say; the last one of equal times.
    fn newest<T>(&self, says: impl Fn(&Event) -> Option<T>) -> Option<(Time, T)> {
        let said = self.events.iter().filter_map(|event| Some((event.time, says(event)?)));
        said.reduce(|one, other| if other.0 >= one.0 { other } else { one })
    }

    fn fields(&self) -> BTreeMap<Vec<String>, (Value, Time)> {
        let mut paths: Vec<Vec<String>> = vec![vec!["status".to_owned()]];
        for event in &self.events {
            let fields = event.fields.to_value();
            for (name, value) in fields.as_object().unwrap() {
                match value.as_object() {
                    Some(inner) => paths.extend(inner.keys().map(|inner| vec![name.clone(), inner.clone()])),
                    None => paths.push(vec![name.clone()]),
                }
            }
        }
        paths.retain(|path| !path[0].to_lowercase().ends_with("members"));
        let carried = |event: &Event, path: &[String]| {
            path.iter().try_fold(&event.fields.to_value(), |value, name| value.get(name)).cloned()
        };
        let value_of = |path: &Vec<String>| {
            self.newest(|event| {
                let status = ["enabled", "disabled"].contains(&event.action.as_str()) && path == &["status"];
                carried(event, path).or_else(|| (status && event.entity == Entity::User).then(|| json!(event.action)))
            })
        };
        paths.into_iter().filter_map(|path| value_of(&path).map(|(time, value)| (path, (value, time)))).collect()
    }

    /// The members, each with the time of its newest change; `None` if no event lists any.
    fn members(&self) -> Option<BTreeMap<String, Time>> {
        let ids = |event: &Event, name: &str| -> Option<Vec<String>> {
            let fields = event.fields.to_value();
            let list = fields.get(name)?.as_array()?;
            Some(list.iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect())
        };
        let says = |event: &Event, id: &str| -> Option<bool> {
            let has = |name| ids(event, name).map(|ids| ids.iter().any(|known| known == id));
            match event.action.as_str() {
                "member_added" => has("addedMembers").filter(|has| *has),
                "member_removed" => has("removedMembers").filter(|has| *has).map(|_| false),
                "snapshot" => has("members"),
                _ => None,
            }
        };
        let carries = |event: &Event, name: &str| event.fields.to_value().get(name).is_some();
        let told = self.events.iter().any(|event| match event.action.as_str() {
            "member_added" => carries(event, "addedMembers"),
            "member_removed" => carries(event, "removedMembers"),
            "snapshot" => carries(event, "members"),
            _ => false,
        });
        let member = |id: &str| {
            let word = self.newest(|event| says(event, id));
            word.filter(|(_, present)| *present).map(|(time, _)| (id.to_owned(), time))
        };
        told.then(|| (0..5).filter_map(|id| member(&format!("m{id}"))).collect())
    }
}

fn assert_equal(folded: &Folded, model: &Model<'_>) {
    let Some(state) = folded.live() else {
        assert!(model.events.is_empty());
        return;
    };
    let path = |path: &idaas_state::Path| path.names().map(|name| name.to_string()).collect::<Vec<_>>();
    let fields: BTreeMap<_, _> =
        state.fields.iter().map(|(at, field)| (path(at), (field.value.to_value(), field.time))).collect();
    assert_eq!(fields, model.fields());
    assert_eq!(Some(state.last.time), model.events.iter().map(|event| event.time).max());
    let members = state.members.as_ref().map(|members| {
        members.present.iter().map(|(id, member)| (id.clone(), member.since)).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(members, model.members());
    let additional: BTreeMap<_, _> =
        state.additional.iter().map(|(name, field)| (name.as_str(), (field.value.to_value(), field.time))).collect();
    for name in ["a", "b"] {
        let newest = model.newest(|event| event.additional.get(name).map(Json::to_value));
        assert_eq!(additional.get(name).cloned(), newest.map(|(time, value)| (value, time)));
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (0..3_u8).prop_map(|number| json!(format!("v{number}"))), Just(json!([]))]
}

fn list() -> impl Strategy<Value = Value> {
    prop::collection::btree_set(0..5_u8, 0..4)
        .prop_map(|ids| ids.iter().map(|id| json!({"id": format!("m{id}")})).collect())
}

fn fields() -> impl Strategy<Value = Map<String, Value>> {
    let flat = prop::collection::btree_map(prop::sample::select(vec!["username", "status", "name"]), value(), 0..3);
    let inner = prop::collection::btree_map(prop::sample::select(vec!["region", "number"]), value(), 1..3);
    let lists = (prop::option::of(list()), prop::option::of(list()), prop::option::of(list()));
    (flat, prop::option::of(inner), lists).prop_map(|(flat, phone, (members, added, removed))| {
        let mut fields: Map<_, _> = flat.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.insert("id".to_owned(), json!("x"));
        let phone = phone.map(|phone| phone.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        for (name, value) in
            [("phone", phone), ("members", members), ("addedMembers", added), ("removedMembers", removed)]
        {
            fields.extend(value.map(|value| (name.to_owned(), value)));
        }
        fields
    })
}

fn event(entity: Entity) -> impl Strategy<Value = Event> {
    let actions =
        ["created", "updated", "deleted", "enabled", "disabled", "snapshot", "member_added", "member_removed"];
    let additional = prop::collection::btree_map(prop::sample::select(vec!["a", "b"]), value(), 0..2);
    (prop::sample::select(actions.to_vec()), 0..12_i64, fields(), additional).prop_map(
        move |(action, time, mut fields, additional)| {
            if !entity.has_members() {
                fields.retain(|name, _| !name.to_lowercase().ends_with("members"));
            }
            Event {
                entity,
                id: "x".to_owned(),
                action: action.to_owned(),
                time: Time::from_millis(time * 1000),
                recorded: Time::from_millis(0),
                event_id: format!("e{time}"),
                event_type: "t".to_owned(),
                application_id: "a".to_owned(),
                instance_id: "i".to_owned(),
                fields: Fields::new(entity, &fields).unwrap(),
                additional: additional
                    .iter()
                    .map(|(name, value)| (SharedStr::from(*name), Json::from(value)))
                    .collect(),
            }
        },
    )
}

/// Events, some of them again at other places.
fn history() -> impl Strategy<Value = Vec<Event>> {
    let entity = prop::sample::select(vec![Entity::User, Entity::OrganizationalUnit, Entity::Group]);
    entity.prop_flat_map(|entity| {
        let again = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6);
        (prop::collection::vec(event(entity), 1..14), again).prop_map(|(mut events, again)| {
            for (from, to) in again {
                let event = events[from.index(events.len())].clone();
                events.insert(to.index(events.len() + 1), event);
            }
            events
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_history_gives_what_the_model_gives(events in history()) {
        let (mut folded, mut model) = (Folded::default(), Model::default());
        for event in &events {
            folded.apply(event);
            model.apply(event);
            assert_equal(&folded, &model);
        }
    }

    #[test]
    fn a_suffix_applied_again_changes_nothing(events in history(), from in any::<prop::sample::Index>()) {
        let mut folded = Folded::default();
        for event in &events {
            folded.apply(event);
        }
        let before = folded.value();
        for event in &events[from.index(events.len())..] {
            folded.apply(event);
        }
        let mut after = folded.value();
        // Of events with equal times, the last one that changed something is the newest.
        if let (Some(before), Some(after)) = (&before, &mut after) {
            for name in ["lastEventId", "lastAction", "lastSnapshotTime"] {
                match before["state"].get(name) {
                    Some(value) => after["state"][name] = value.clone(),
                    None => drop(after["state"].as_object_mut().unwrap().remove(name)),
                }
            }
        }
        prop_assert_eq!(before, after);
    }

    #[test]
    fn an_event_that_comes_twice_in_a_row_changes_nothing(events in history()) {
        let mut folded = Folded::default();
        for event in &events {
            folded.apply(event);
            prop_assert!(!folded.apply(event), "{:?}", event);
        }
    }

    #[test]
    fn times_never_go_back(events in history()) {
        let mut folded = Folded::default();
        for event in &events {
            let before = folded.clone();
            folded.apply(event);
            let (Some(before), Some(after)) = (before.live(), folded.live()) else { continue };
            prop_assert!(after.last.time >= before.last.time);
            for (path, field) in &before.fields {
                prop_assert!(after.fields[path].time >= field.time);
            }
        }
    }
}

#[test]
fn the_shared_cases_give_the_users_of_the_example_consumers() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/fixtures/merge/users.json")).unwrap();
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

fn told(entity: Entity, action: &str, seconds: i64, fields: Value) -> Event {
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
    let user = |action, at| told(Entity::User, action, at, json!({"username": "zs"}));
    let late = |recorded: i64| Event { recorded: Time::from_millis(recorded * 1000), ..user("updated", 50) };
    let recorded = 100 + MEMORY.as_millis() / 1000;
    assert!(fold(&[user("deleted", 100), late(recorded - 1)]).live().is_none());
    assert!(fold(&[user("deleted", 100), late(recorded)]).live().is_some());
}

#[test]
fn events_before_a_deletion_do_not_fill_the_entity_that_followed() {
    let events = [
        told(Entity::User, "deleted", 100, json!({})),
        told(Entity::User, "created", 200, json!({"username": "new"})),
        told(Entity::User, "updated", 90, json!({"displayName": "old"})),
        told(Entity::User, "updated", 150, json!({"externalId": "between"})),
    ];
    let value = fold(&events).value().unwrap();
    assert_eq!(value["user"], json!({"id": "x", "username": "new", "externalId": "between"}));
    assert_eq!(value["state"]["lastDeletionTime"], "1970-01-01T00:01:40.000Z");
    let later = told(Entity::User, "updated", 100 + 7 * DAY, json!({}));
    let value = fold(&[events.to_vec(), vec![later]].concat()).value().unwrap();
    assert_eq!(value["state"].get("lastDeletionTime"), None);
}

#[test]
fn a_snapshot_replaces_all_members_but_the_newer() {
    let members = |ids: &[&str]| ids.iter().map(|id| json!({"id": id, "name": format!("N{id}")})).collect::<Value>();
    let events = [
        told(Entity::Group, "member_added", 10, json!({"addedMembers": members(&["a", "b"])})),
        told(Entity::Group, "member_added", 30, json!({"addedMembers": members(&["c"])})),
        told(Entity::Group, "member_removed", 31, json!({"removedMembers": members(&["d"])})),
        told(Entity::Group, "snapshot", 20, json!({"members": members(&["b", "d", "e"])})),
        told(Entity::Group, "member_added", 15, json!({"addedMembers": members(&["f"])})),
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
    let later = told(Entity::Group, "updated", 31 + 7 * DAY, json!({}));
    let value = fold(&[events.to_vec(), vec![later]].concat()).value().unwrap();
    assert_eq!(value["state"].get("removedMembers"), None);
}

#[test]
fn a_record_has_the_attributes_of_the_newest_event() {
    let newest = told(Entity::User, "updated", 20, json!({"username": "zs"}));
    let late = told(Entity::User, "created", 10, json!({"username": "old", "displayName": "ZS"}));
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
    let deletion = told(Entity::User, "deleted", 20, json!({}));
    let change = apply(None, &deletion);
    let record = Record::of(&deletion, &change.outcome).unwrap();
    assert_eq!((record.key.as_str(), record.value), ("x", None));
    assert!(record.headers.contains(&("ce_id", "evnt_20".to_owned())));
}
