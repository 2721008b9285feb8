//! The current state of one entity, and its JSON in a state topic.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::MEMORY;
use crate::entity::Entity;
use crate::event::Event;
use crate::members::{Member, Members};
use crate::time::Time;

/// The version of the value's form.
const SCHEMA_VERSION: &str = "1.0";

/// What is known of an entity.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// It exists.
    Live(Box<State>),
    /// It was deleted, and the deletion is remembered.
    Deleted(Deletion),
}

/// A remembered deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// When the entity was deleted. Events up to this time do not bring it back.
    pub at: Time,
    /// The timestamp of the deletion's record. The deletion is remembered for seven days from then on.
    pub recorded: Time,
}

impl Deletion {
    /// Whether the deletion no longer counts for an event whose record has the timestamp `now`.
    #[must_use]
    pub fn is_forgotten(&self, now: Time) -> bool {
        now.since(self.recorded) >= MEMORY
    }
}

/// The current state of an entity that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The kind of entity.
    pub entity: Entity,
    /// The leaf fields of the entity by path: `["phone", "number"]`.
    pub fields: BTreeMap<Vec<String>, Field>,
    /// The members of `additional`.
    pub additional: BTreeMap<String, Field>,
    /// Its members; `None` if IDaaS never sent them.
    pub members: Option<Members>,
    /// The newest event.
    pub last: Last,
    /// The deletion that came before the entity was created again. Events up to this time do not count.
    pub deleted_at: Option<Time>,
}

/// A field's value and the time of the event that set it.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The value as IDaaS sent it.
    pub value: Value,
    /// The time of the event.
    pub time: Time,
}

/// The newest event of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its `ce_id`.
    pub event_id: String,
    /// Its type as IDaaS names it.
    pub event_type: String,
    /// Its time.
    pub time: Time,
    /// Its action.
    pub action: String,
    /// The IDaaS application that it was sent for.
    pub application_id: String,
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// The time of the newest `snapshot` event.
    pub snapshot_time: Option<Time>,
}

impl Last {
    /// The event as the newest of its entity, with the last snapshot of the event before.
    pub(crate) fn of(event: &Event, snapshot_time: Option<Time>) -> Self {
        Self {
            event_id: event.event_id.clone(),
            event_type: event.event_type.clone(),
            time: event.time,
            action: event.action.clone(),
            application_id: event.application_id.clone(),
            instance_id: event.instance_id.clone(),
            snapshot_time: if event.action == "snapshot" { Some(event.time) } else { snapshot_time },
        }
    }

    /// `ce_source` of the event.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/idaas/{}/{}", self.instance_id, self.application_id)
    }
}

/// Why a value of a state topic cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateError;

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is not the state of an entity")
    }
}

impl std::error::Error for StateError {}

impl State {
    /// Reads the value of a record of the state topic of `entity`.
    ///
    /// # Errors
    /// [`StateError`] if it is not a state.
    pub fn from_json(entity: Entity, value: &[u8]) -> Result<Self, StateError> {
        let value: Value = serde_json::from_slice(value).map_err(|_| StateError)?;
        let about = value.get("state").and_then(Value::as_object).ok_or(StateError)?;
        let text = |name: &str| about.get(name).and_then(Value::as_str);
        let time = |name: &str| text(name).and_then(Time::parse);
        let last = Last {
            event_id: text("lastEventId").ok_or(StateError)?.to_owned(),
            event_type: text("lastEventType").unwrap_or_default().to_owned(),
            time: time("lastEventTime").ok_or(StateError)?,
            action: text("lastAction").unwrap_or_default().to_owned(),
            application_id: text("applicationId").unwrap_or_default().to_owned(),
            instance_id: text("instanceId").unwrap_or_default().to_owned(),
            snapshot_time: time("lastSnapshotTime"),
        };
        let times = about.get("fieldTimes").and_then(Value::as_object);
        let time_of =
            |path: &str| times.and_then(|times| times.get(path)?.as_str()).and_then(Time::parse).unwrap_or(last.time);
        let Some(Value::Object(members)) = value.get(entity.member()) else { return Err(StateError) };
        let mut fields = BTreeMap::new();
        for (path, value) in leaves(entity, members) {
            let time = time_of(&path.join("."));
            fields.insert(path, Field { value: value.clone(), time });
        }
        let additional = value.get("additional").and_then(Value::as_object).into_iter().flatten();
        let additional = additional.map(|(name, value)| {
            (name.clone(), Field { value: value.clone(), time: time_of(&format!("additional.{name}")) })
        });
        let additional = additional.collect();
        let members = read_members(members, about, time("membersSnapshotTime"));
        Ok(Self { entity, fields, additional, members, deleted_at: time("lastDeletionTime"), last })
    }

    /// The value of the state record: JSON in UTF-8.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut entity = Map::new();
        for (path, field) in &self.fields {
            insert(&mut entity, path, &field.value);
        }
        if let Some(members) = &self.members {
            let members = members.present.iter().map(|(id, Member { name, since })| match name {
                Some(name) => json!({"id": id, "name": name, "since": since.to_string()}),
                None => json!({"id": id, "since": since.to_string()}),
            });
            entity.insert("members".to_owned(), members.collect());
        }
        let mut value = Map::new();
        value.insert("schemaVersion".to_owned(), SCHEMA_VERSION.into());
        value.insert(self.entity.member().to_owned(), entity.into());
        if !self.additional.is_empty() {
            let additional = self.additional.iter().map(|(name, field)| (name.clone(), field.value.clone()));
            value.insert("additional".to_owned(), additional.collect());
        }
        value.insert("state".to_owned(), self.about().into());
        Value::Object(value).to_string().into_bytes()
    }

    /// The member `state` of the value.
    fn about(&self) -> Map<String, Value> {
        let last = &self.last;
        let mut about = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                about.insert(name.to_owned(), value.into());
            }
        };
        let time = |time: Option<Time>| time.map(|time| time.to_string());
        put("lastEventId", Some(last.event_id.clone()));
        put("lastEventType", Some(last.event_type.clone()));
        put("lastEventTime", Some(last.time.to_string()));
        put("lastAction", Some(last.action.clone()));
        put("lastSnapshotTime", time(last.snapshot_time));
        put("applicationId", Some(last.application_id.clone()));
        put("instanceId", Some(last.instance_id.clone()));
        put("lastDeletionTime", time(self.deleted_at));
        put("membersSnapshotTime", time(self.members.as_ref().and_then(|members| members.listed_at)));
        let fields = self.fields.iter().map(|(path, field)| (path.join("."), field.time));
        let additional = self.additional.iter().map(|(name, field)| (format!("additional.{name}"), field.time));
        let times: Map<_, _> = fields
            .chain(additional)
            .filter(|(_, time)| *time != last.time)
            .map(|(path, time)| (path, time.to_string().into()))
            .collect();
        if !times.is_empty() {
            about.insert("fieldTimes".to_owned(), times.into());
        }
        let removed = self.members.iter().flat_map(|members| &members.removed);
        let removed: Vec<_> = removed.map(|(id, at)| json!({"id": id, "at": at.to_string()})).collect();
        if !removed.is_empty() {
            about.insert("removedMembers".to_owned(), removed.into());
        }
        about
    }
}

fn read_members(entity: &Map<String, Value>, about: &Map<String, Value>, listed_at: Option<Time>) -> Option<Members> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).and_then(Time::parse);
    let present = entity.get("members")?.as_array()?.iter().filter_map(|member| {
        let known = Member { name: member.get("name").cloned(), since: time(member, "since")? };
        Some((text(member, "id")?, known))
    });
    let removed = about.get("removedMembers").and_then(Value::as_array).into_iter().flatten();
    let removed = removed.filter_map(|mark| Some((text(mark, "id")?, time(mark, "at")?)));
    Some(Members { present: present.collect(), removed: removed.collect(), listed_at })
}

/// The leaf fields of an entity: scalars and lists, also inside of objects. Lists of members are not fields.
pub(crate) fn leaves(entity: Entity, members: &Map<String, Value>) -> Vec<(Vec<String>, &Value)> {
    fn collect<'v>(path: &mut Vec<String>, value: &'v Value, leaves: &mut Vec<(Vec<String>, &'v Value)>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    path.push(name.clone());
                    collect(path, value, leaves);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                leaves.push((path.clone(), value));
            }
        }
    }
    let is_field = |name: &str| !entity.has_members() || !matches!(name, "members" | "addedMembers" | "removedMembers");
    let mut all = Vec::with_capacity(members.len());
    for (name, value) in members.iter().filter(|(name, _)| is_field(name)) {
        collect(&mut vec![name.clone()], value, &mut all);
    }
    all
}

/// Puts a leaf in its place, with the objects above it.
fn insert(object: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.clone(), value.clone());
        }
        [name, rest @ ..] => {
            if let Value::Object(below) = object.entry(name.clone()).or_insert_with(|| Map::new().into()) {
                insert(below, rest, value);
            }
        }
    }
}
