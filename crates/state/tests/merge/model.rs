//! A slow model of the merge, from which the product shares no code: it keeps every event of an entity, and computes
//! the state from all of them after each.
//!
//! Events are JSON, and times are texts of the same form in UTC, whose order is that of the times. The model forgets
//! nothing, so all events must be of the same seven days. An event that names a member must always name it or never.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};

/// An event of one entity.
#[derive(Debug)]
pub(crate) struct ModelEvent {
    /// The member of a record's value that contains the entity: `user`, `organizationalUnit` or `group`.
    pub(crate) member: &'static str,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) application_id: String,
    pub(crate) instance_id: String,
    pub(crate) action: String,
    pub(crate) time: String,
    pub(crate) fields: Map<String, Value>,
    pub(crate) additional: Map<String, Value>,
}

/// The state record that an event gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    /// The value; `None` is a tombstone.
    pub(crate) value: Option<Value>,
    /// The id of the event that the record's attributes describe.
    pub(crate) event_id: String,
    /// The time of that event.
    pub(crate) time: String,
}

/// One entity, with all its events since the last deletion that counts.
#[derive(Default)]
pub(crate) struct Model {
    events: Vec<Rc<ModelEvent>>,
    deleted_at: Option<String>,
    content: Option<Content>,
    newest: Option<Rc<ModelEvent>>,
    snapshot_time: Option<String>,
}

/// Everything that an event can change, except which event was the newest.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    time: String,
    fields: Timed,
    additional: Timed,
    members: Option<Members>,
}

/// Values by path, each with its time.
type Timed = BTreeMap<Vec<String>, (Value, String)>;

#[derive(Debug, Clone, Default, PartialEq)]
struct Members {
    /// The present ones by id: name and time.
    present: BTreeMap<String, (Option<Value>, String)>,
    removed: BTreeMap<String, String>,
    listed_at: Option<String>,
}

impl Model {
    /// Merges an event. Returns the record that it gives, if it changes anything.
    pub(crate) fn apply(&mut self, event: ModelEvent) -> Option<Written> {
        let event = Rc::new(event);
        if self.deleted_at.as_ref().is_some_and(|at| event.time <= *at) {
            return None;
        }
        let newest = self.content.as_ref().map(|content| content.time.clone());
        if event.action == "deleted" {
            if newest.is_some_and(|newest| event.time < newest) {
                return None;
            }
            *self = Self { deleted_at: Some(event.time.clone()), ..Self::default() };
            return Some(Written { value: None, event_id: event.event_id.clone(), time: event.time.clone() });
        }
        self.events.push(Rc::clone(&event));
        let content = self.content();
        if self.content.as_ref() == Some(&content) {
            return None;
        }
        if event.time == content.time {
            if event.action == "snapshot" {
                self.snapshot_time = Some(event.time.clone());
            }
            self.newest = Some(event);
        }
        self.content = Some(content);
        self.written()
    }

    fn content(&self) -> Content {
        Content {
            time: self.events.iter().map(|event| event.time.clone()).max().unwrap_or_default(),
            fields: self.newest_values(|event| {
                let mut fields = leaves(&event.fields);
                fields.retain(|path, _| !path[0].to_lowercase().ends_with("members"));
                if ["enabled", "disabled"].contains(&event.action.as_str()) && event.member == "user" {
                    fields.entry(vec!["status".to_owned()]).or_insert_with(|| json!(event.action));
                }
                fields
            }),
            additional: self.newest_values(|event| {
                event.additional.iter().map(|(name, value)| (vec![name.clone()], value.clone())).collect()
            }),
            members: if self.events.iter().all(|event| event.member == "user") { None } else { self.members() },
        }
    }

    /// The newest value of each path; the last one of equal times.
    fn newest_values(&self, says: impl Fn(&ModelEvent) -> BTreeMap<Vec<String>, Value>) -> Timed {
        let mut newest = Timed::new();
        for event in &self.events {
            for (path, value) in says(event) {
                if newest.get(&path).is_none_or(|(_, time)| *time <= event.time) {
                    newest.insert(path, (value, event.time.clone()));
                }
            }
        }
        newest
    }

    /// The members, if any event told some: for each, what the newest event says about it.
    fn members(&self) -> Option<Members> {
        let mut told = Vec::new();
        let mut listed_at: Option<&str> = None;
        for event in &self.events {
            let Some(list) = list_of(event) else { continue };
            // What happened before a complete list that is known already says nothing.
            if listed_at.is_some_and(|at| event.time.as_str() < at) {
                continue;
            }
            if event.action == "snapshot" {
                listed_at = Some(&event.time);
            }
            told.push((event, list));
        }
        if told.is_empty() {
            return None;
        }
        let mut members = Members { listed_at: listed_at.map(str::to_owned), ..Members::default() };
        let ids: BTreeSet<_> = told.iter().flat_map(|(_, list)| list.keys()).collect();
        for id in ids {
            let words = told.iter().filter_map(|(event, list)| Some((&event.time, word(event, list.get(id))?)));
            let newest = |words: &mut dyn Iterator<Item = (_, Word)>| {
                words.reduce(|one, other| if other.0 >= one.0 { other } else { one })
            };
            if let Some((time, Word::Present(name))) = newest(&mut words.clone()) {
                members.present.insert(id.clone(), (name, time.clone()));
            }
            // A complete list that lacks a member leaves no mark.
            if let Some((time, Word::Removed)) = newest(&mut words.filter(|(_, word)| *word != Word::Absent)) {
                members.removed.insert(id.clone(), time.clone());
            }
        }
        Some(members)
    }

    fn written(&self) -> Option<Written> {
        let (content, newest) = (self.content.as_ref()?, self.newest.as_ref()?);
        let mut entity = nested(&content.fields);
        let mut state = json!({
            "lastEventId": newest.event_id, "lastEventType": newest.event_type, "lastEventTime": newest.time,
            "lastAction": newest.action, "applicationId": newest.application_id, "instanceId": newest.instance_id,
        });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                state[name] = value;
            }
        };
        let text = |time: &Option<String>| time.as_ref().map(|time| json!(time));
        set("lastSnapshotTime", text(&self.snapshot_time));
        set("lastDeletionTime", text(&self.deleted_at));
        if let Some(members) = &content.members {
            let present = members.present.iter().map(|(id, (name, since))| match name {
                Some(name) => json!({"id": id, "name": name, "since": since}),
                None => json!({"id": id, "since": since}),
            });
            entity.insert("members".to_owned(), present.collect());
            let removed: Vec<_> = members.removed.iter().map(|(id, at)| json!({"id": id, "at": at})).collect();
            set("removedMembers", (!removed.is_empty()).then(|| json!(removed)));
            set("membersSnapshotTime", text(&members.listed_at));
        }
        let older = |prefix: &'static str, timed: &Timed| {
            let older = timed.iter().filter(|(_, (_, time))| *time != content.time);
            let named = older.map(|(path, (_, time))| (format!("{prefix}{}", path.join(".")), json!(time)));
            named.collect::<Vec<_>>()
        };
        let times = [older("", &content.fields), older("additional.", &content.additional)].concat();
        set("fieldTimes", (!times.is_empty()).then(|| Value::Object(times.into_iter().collect())));
        let mut value = json!({"schemaVersion": "1.0", newest.member: entity, "state": state});
        if !content.additional.is_empty() {
            value["additional"] = Value::Object(nested(&content.additional));
        }
        Some(Written { value: Some(value), event_id: newest.event_id.clone(), time: newest.time.clone() })
    }
}

/// What an event says about a member.
#[derive(PartialEq)]
enum Word {
    Present(Option<Value>),
    Removed,
    /// A complete list does not contain it.
    Absent,
}

fn word(event: &ModelEvent, listed: Option<&Option<Value>>) -> Option<Word> {
    match (event.action.as_str(), listed) {
        ("member_removed", Some(_)) => Some(Word::Removed),
        (_, Some(name)) => Some(Word::Present(name.clone())),
        ("snapshot", None) => Some(Word::Absent),
        (_, None) => None,
    }
}

/// The list of members that counts for the event's action: names by id.
fn list_of(event: &ModelEvent) -> Option<BTreeMap<String, Option<Value>>> {
    let name = match event.action.as_str() {
        "member_added" => "addedMembers",
        "member_removed" => "removedMembers",
        "snapshot" => "members",
        _ => return None,
    };
    let member = |member: &Value| (member["id"].as_str().unwrap().to_owned(), member.get("name").cloned());
    match event.fields.get(name)? {
        // Sent as empty.
        Value::Null if event.action == "snapshot" => Some(BTreeMap::new()),
        list => Some(list.as_array()?.iter().map(member).collect()),
    }
}

/// The values below an object that are not objects themselves.
fn leaves(object: &Map<String, Value>) -> BTreeMap<Vec<String>, Value> {
    let below = |(name, value): (&String, &Value)| match value {
        Value::Object(inner) => leaves(inner)
            .into_iter()
            .map(|(path, value)| ([vec![name.clone()], path].concat(), value))
            .collect::<Vec<_>>(),
        value => vec![(vec![name.clone()], value.clone())],
    };
    object.iter().flat_map(below).collect()
}

/// The opposite of [`leaves`].
fn nested(values: &Timed) -> Map<String, Value> {
    let mut object = Map::new();
    for (path, (value, _)) in values {
        let (last, objects) = path.split_last().unwrap();
        let inner = objects.iter().fold(&mut object, |object, name| {
            object.entry(name.clone()).or_insert_with(|| json!({})).as_object_mut().unwrap()
        });
        inner.insert(last.clone(), value.clone());
    }
    object
}
