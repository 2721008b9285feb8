//! Any history of events gives what the model gives.

use idaas_state::{Entity, Event, Fields, Json, Record, SharedStr, Time};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::folded::Folded;
use crate::model::{Model, ModelEvent, Written};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (0..3_u8).prop_map(|number| json!(format!("v{number}"))), Just(json!([]))]
}

fn list() -> impl Strategy<Value = Value> {
    prop::collection::btree_set(0..5_u8, 0..4)
        .prop_map(|ids| ids.iter().map(|id| json!({"id": format!("m{id}"), "name": format!("N{id}")})).collect())
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

fn of_model(event: &Event) -> ModelEvent {
    ModelEvent {
        member: event.entity.member(),
        event_id: event.event_id.clone(),
        event_type: event.event_type.clone(),
        application_id: event.application_id.clone(),
        instance_id: event.instance_id.clone(),
        action: event.action.clone(),
        time: event.time.to_string(),
        fields: event.fields.to_value().as_object().unwrap().clone(),
        additional: event.additional.iter().map(|(name, value)| (name.to_string(), value.to_value())).collect(),
    }
}

fn written(record: &Record) -> Written {
    let header = |name| record.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    Written {
        value: record.value.as_ref().map(|value| serde_json::from_slice(value).unwrap()),
        event_id: header("ce_id"),
        time: header("ce_time"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_history_gives_what_the_model_gives(events in history()) {
        let (mut folded, mut model) = (Folded::default(), Model::default());
        for event in &events {
            let record = folded.publish(event);
            prop_assert_eq!(record.as_ref().map(written), model.apply(of_model(event)));
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
