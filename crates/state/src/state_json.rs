//! The JSON of a state in a state topic. Unchanged fields keep their text.

use std::fmt::Display;

use serde_json::Value;

use crate::entity::Entity;
use crate::json::{Document, Object, SharedStr};
use crate::members::{Member, Members};
use crate::path::Path;
use crate::state::{Field, Last, State, StateError};
use crate::time::Time;

/// The version of the value's schema.
const SCHEMA_VERSION: &str = "1.0";

impl State {
    /// Reads the value of a record of the state topic of `entity`.
    ///
    /// # Errors
    /// [`StateError`] if it is not a state.
    pub fn from_json(entity: Entity, value: &[u8]) -> Result<Self, StateError> {
        let document = Document::read(value).ok_or(StateError)?;
        let value = Object::read(document.text()).ok_or(StateError)?;
        let about = value.object("state").ok_or(StateError)?;
        let owned = |name: &str| about.text(name).unwrap_or_default().into_owned();
        let time = |name: &str| about.text(name).and_then(|text| Time::parse(&text));
        let last = Last {
            event_id: about.text("lastEventId").ok_or(StateError)?.into_owned(),
            event_type: owned("lastEventType"),
            time: time("lastEventTime").ok_or(StateError)?,
            action: owned("lastAction"),
            application_id: owned("applicationId"),
            instance_id: owned("instanceId"),
            snapshot_time: time("lastSnapshotTime"),
        };
        let times = about.object("fieldTimes");
        let time_of = |path: &str| times.as_ref()?.text(path).and_then(|text| Time::parse(&text));
        let object = value.object(entity.member()).ok_or(StateError)?;
        let leaves = document.leaves(&object, |name| entity.has_field(name)).ok_or(StateError)?;
        let fields = leaves.into_iter().map(|(path, value)| {
            let time = times.as_ref().and_then(|_| time_of(&path.dotted())).unwrap_or(last.time);
            (path, Field { value, time })
        });
        let fields = fields.collect();
        let additional = value.object("additional").map(|additional| additional.members).unwrap_or_default();
        let additional = additional.iter().map(|(name, value)| {
            let time = times.as_ref().and_then(|_| time_of(&format!("additional.{name}"))).unwrap_or(last.time);
            (document.share(name), Field { value: document.json(value), time })
        });
        let additional = additional.collect();
        let members = object.get("members").filter(|_| entity.has_members());
        let members = members.and_then(|members| read_members(members, &about, time("membersSnapshotTime")));
        Ok(Self { entity, fields, additional, members, deleted_at: time("lastDeletionTime"), last })
    }

    /// Returns the value of the state record: JSON in UTF-8.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut value = Writer::with_capacity(2048);
        value.open();
        value.string("schemaVersion", SCHEMA_VERSION);
        value.name(self.entity.member());
        self.write_entity(&mut value);
        if !self.additional.is_empty() {
            value.name("additional");
            value.open();
            for (name, field) in &self.additional {
                value.name(name);
                value.json(field.value.as_text());
            }
            value.close();
        }
        value.name("state");
        self.write_about(&mut value);
        value.close();
        value.bytes
    }

    /// Writes the fields in their order, with the objects around them, and the members.
    fn write_entity(&self, value: &mut Writer) {
        value.open();
        let mut members = self.members.as_ref();
        let mut open: Vec<&SharedStr> = Vec::new();
        let mut before: Option<&Path> = None;
        for (path, field) in &self.fields {
            if before.is_some_and(|before| path.starts_with(before)) {
                // Two members had the same name, and one of them was an object.
                continue;
            }
            before = Some(path);
            let (name, objects) = path.split();
            let mut objects = objects.peekable();
            let mut common = 0;
            while objects.next_if(|object| open.get(common) == Some(object)).is_some() {
                common += 1;
            }
            for _ in common..open.len() {
                value.close();
            }
            open.truncate(common);
            if let Some(listed) = members.filter(|_| path.first() > "members") {
                write_members(value, listed);
                members = None;
            }
            for object in objects {
                value.name(object);
                value.open();
                open.push(object);
            }
            value.name(name);
            value.json(field.value.as_text());
        }
        for _ in open {
            value.close();
        }
        if let Some(members) = members {
            write_members(value, members);
        }
        value.close();
    }

    /// Writes the member `state` of the value.
    fn write_about(&self, value: &mut Writer) {
        let last = &self.last;
        value.open();
        value.string("lastEventId", &last.event_id);
        value.string("lastEventType", &last.event_type);
        value.time("lastEventTime", Some(last.time));
        value.string("lastAction", &last.action);
        value.time("lastSnapshotTime", last.snapshot_time);
        value.string("applicationId", &last.application_id);
        value.string("instanceId", &last.instance_id);
        value.time("lastDeletionTime", self.deleted_at);
        value.time("membersSnapshotTime", self.members.as_ref().and_then(|members| members.listed_at));
        self.write_field_times(value);
        let removed = self.members.iter().flat_map(|members| &members.removed);
        let mut removed = removed.peekable();
        if removed.peek().is_some() {
            value.name("removedMembers");
            value.open_list();
            for (id, at) in removed {
                value.element();
                value.open();
                value.string("id", id);
                value.time("at", Some(*at));
                value.close();
            }
            value.close_list();
        }
        value.close();
    }

    /// Writes the times of the fields that the newest event did not set.
    fn write_field_times(&self, value: &mut Writer) {
        let older = |field: &Field| field.time != self.last.time;
        if !self.fields.values().chain(self.additional.values()).any(older) {
            return;
        }
        value.name("fieldTimes");
        value.open();
        for (path, field) in self.fields.iter().filter(|(_, field)| older(field)) {
            value.time(&path.dotted(), Some(field.time));
        }
        for (name, field) in self.additional.iter().filter(|(_, field)| older(field)) {
            value.time(&format!("additional.{name}"), Some(field.time));
        }
        value.close();
    }
}

fn write_members(value: &mut Writer, members: &Members) {
    value.name("members");
    value.open_list();
    for (id, Member { name, since }) in &members.present {
        value.element();
        value.open();
        value.string("id", id);
        if let Some(name) = name {
            value.name("name");
            value.json(&name.to_string());
        }
        value.time("since", Some(*since));
        value.close();
    }
    value.close_list();
}

fn read_members(members: &str, about: &Object<'_>, listed_at: Option<Time>) -> Option<Members> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).and_then(Time::parse);
    let members: Vec<Value> = serde_json::from_str(members).ok()?;
    let present = members.iter().filter_map(|member| {
        let known = Member { name: member.get("name").cloned(), since: time(member, "since")? };
        Some((text(member, "id")?, known))
    });
    let removed = about.get("removedMembers").and_then(|marks| serde_json::from_str::<Vec<Value>>(marks).ok());
    let removed = removed.iter().flatten().filter_map(|mark| Some((text(mark, "id")?, time(mark, "at")?)));
    Some(Members { present: present.collect(), removed: removed.collect(), listed_at })
}

/// Writes JSON from front to back.
struct Writer {
    bytes: Vec<u8>,
    /// True if the innermost object or list is still empty.
    is_first: bool,
}

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), is_first: true }
    }

    fn open(&mut self) {
        self.bytes.push(b'{');
        self.is_first = true;
    }

    fn close(&mut self) {
        self.bytes.push(b'}');
        self.is_first = false;
    }

    fn open_list(&mut self) {
        self.bytes.push(b'[');
        self.is_first = true;
    }

    fn close_list(&mut self) {
        self.bytes.push(b']');
        self.is_first = false;
    }

    /// Begins an element of a list or a member of an object.
    fn element(&mut self) {
        if !self.is_first {
            self.bytes.push(b',');
        }
        self.is_first = false;
    }

    fn name(&mut self, name: &str) {
        self.element();
        self.text(name);
        self.bytes.push(b':');
    }

    /// Writes a value that is JSON already.
    fn json(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text(value);
    }

    fn time(&mut self, name: &str, time: Option<Time>) {
        if let Some(time) = time {
            self.name(name);
            self.quoted(time);
        }
    }

    fn quoted(&mut self, value: impl Display) {
        self.bytes.extend_from_slice(format!("\"{value}\"").as_bytes());
    }

    fn text(&mut self, text: &str) {
        let escaped = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
        if text.as_bytes().iter().any(escaped) {
            self.bytes.extend_from_slice(Value::from(text).to_string().as_bytes());
            return;
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(b'"');
    }
}
