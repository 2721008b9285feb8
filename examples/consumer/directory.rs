//! The users as events tell of them, merged so that a late or repeated event does no harm.
//!
//! In memory here. In a real application the directory and the identities of the events belong into one database, and one
//! transaction applies an event and stores its identity.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::cloud_event::CloudEvent;

/// How long a deletion is remembered, in milliseconds: no event comes later than that.
const SEVEN_DAYS: i64 = 7 * 24 * 60 * 60 * 1000;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The directory knows it now.
    Applied,
    /// It was applied before: delivery is at least once.
    Repeated,
    /// It is older than a deletion, or deletes a user of whom something newer is known.
    Late,
    /// It is not about a user.
    Foreign,
}

/// The users.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    users: BTreeMap<String, User>,
    deleted: BTreeMap<String, i64>,
    applied: HashSet<(String, String)>,
}

/// The fields of one user, each with the time of the event that set it. A field is named by the object that holds it, or
/// by nothing, and its own name: `("", "username")`, `("phone", "number")`.
#[derive(Debug, Default)]
struct User {
    fields: BTreeMap<(String, String), (Value, i64)>,
    newest: i64,
}

impl Directory {
    /// Applies an event.
    pub(crate) fn apply(&mut self, event: &CloudEvent) -> Outcome {
        let user = event.data.get("user").and_then(Value::as_object);
        let Some((user, id)) = user.and_then(|user| Some((user, user.get("id")?.as_str()?))) else {
            return Outcome::Foreign;
        };
        if !self.applied.insert((event.source.clone(), event.id.clone())) {
            return Outcome::Repeated;
        }
        self.deleted.retain(|_, at| *at > event.time - SEVEN_DAYS);
        let action = event.data.get("action").and_then(Value::as_str).unwrap_or_default();
        let newest = self.users.get(id).map_or(i64::MIN, |known| known.newest);
        let deleted = self.deleted.get(id).copied().unwrap_or(i64::MIN);
        if event.time <= deleted || (action == "deleted" && event.time < newest) {
            return Outcome::Late;
        }
        if action == "deleted" {
            self.users.remove(id);
            self.deleted.insert(id.to_owned(), event.time);
            return Outcome::Applied;
        }
        let known = self.users.entry(id.to_owned()).or_default();
        known.merge(user, event.time);
        if let Some(additional) = event.data.get("additional").and_then(Value::as_object) {
            known.merge_members("additional", additional, event.time);
        }
        // Whatever the action, the fields count. These two say the status by themselves.
        if let ("enabled" | "disabled", false) = (action, user.contains_key("status")) {
            known.set("", "status", &Value::from(action), event.time);
        }
        known.newest = known.newest.max(event.time);
        Outcome::Applied
    }

    /// A user as known now, in the form of the record. `None` if the user is unknown.
    pub(crate) fn user(&self, id: &str) -> Option<Value> {
        let mut user = Map::new();
        for ((group, name), (value, _)) in &self.users.get(id)?.fields {
            if group.is_empty() {
                user.insert(name.clone(), value.clone());
            } else if let Some(members) = user.entry(group).or_insert_with(|| Map::new().into()).as_object_mut() {
                members.insert(name.clone(), value.clone());
            }
        }
        Some(user.into())
    }

    /// The ids of all users.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }
}

impl User {
    /// Sets what the event carries: members of `email`, `phone` and `source` one by one, lists as a whole. What the event
    /// does not carry stays as it is.
    fn merge(&mut self, user: &Map<String, Value>, time: i64) {
        for (name, value) in user {
            match value {
                Value::Object(members) => self.merge_members(name, members, time),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.set("", name, value, time);
                }
            }
        }
    }

    fn merge_members(&mut self, group: &str, members: &Map<String, Value>, time: i64) {
        for (name, value) in members {
            self.set(group, name, value, time);
        }
    }

    /// The last writer wins, by the time of the event and not by its arrival.
    fn set(&mut self, group: &str, name: &str, value: &Value, time: i64) {
        let field = self.fields.entry((group.to_owned(), name.to_owned())).or_insert((Value::Null, i64::MIN));
        if field.1 <= time {
            *field = (value.clone(), time);
        }
    }
}
