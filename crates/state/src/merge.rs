//! The merge rules.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use serde_json::Value;

use crate::entity::Entity;
use crate::event::Event;
use crate::members::{Members, is_remembered};
use crate::state::{Deletion, Entry, Field, Last, State, leaves};
use crate::time::Time;

/// What an event changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The new state, if there is one.
    pub outcome: Outcome,
    /// Whether the event is older than what is known of the entity.
    pub late: bool,
}

/// The state after an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Neither a value nor a time changes.
    Unchanged,
    /// The entity exists, with this state.
    Updated(Box<State>),
    /// The entity is deleted.
    Deleted(Deletion),
}

/// Merges an event into what is known of its entity.
#[must_use]
pub fn apply(known: Option<Entry>, event: &Event) -> Change {
    match known {
        None => begin(event, None),
        Some(Entry::Deleted(deletion)) if deletion.is_forgotten(event.recorded) => begin(event, None),
        Some(Entry::Deleted(deletion)) if event.time <= deletion.at => {
            Change { outcome: Outcome::Unchanged, late: event.time < deletion.at }
        }
        Some(Entry::Deleted(deletion)) => begin(event, Some(deletion.at)),
        Some(Entry::Live(state)) => advance(state, event),
    }
}

/// The first event of an entity, or the first after a deletion.
fn begin(event: &Event, deleted_at: Option<Time>) -> Change {
    if is_deletion(event) {
        return Change { outcome: deletion(event), late: false };
    }
    let mut state = Box::new(State {
        entity: event.entity,
        fields: BTreeMap::new(),
        additional: BTreeMap::new(),
        members: None,
        last: Last::of(event, None),
        deleted_at,
    });
    merge(&mut state, event);
    Change { outcome: Outcome::Updated(state), late: false }
}

/// A further event of an entity that exists.
fn advance(mut state: Box<State>, event: &Event) -> Change {
    let late = event.time < state.last.time;
    let before_creation = state.deleted_at.is_some_and(|at| event.time <= at);
    let stale = is_deletion(event) && late;
    if before_creation || stale {
        return Change { outcome: Outcome::Unchanged, late };
    }
    if is_deletion(event) {
        return Change { outcome: deletion(event), late };
    }
    let newer = event.time > state.last.time;
    // What is forgotten depends on the newest time, so that has to change first.
    if !late {
        state.last = Last::of(event, state.last.snapshot_time);
    }
    if merge(&mut state, event) || newer {
        return Change { outcome: Outcome::Updated(state), late };
    }
    Change { outcome: Outcome::Unchanged, late }
}

fn is_deletion(event: &Event) -> bool {
    event.action == "deleted"
}

fn deletion(event: &Event) -> Outcome {
    Outcome::Deleted(Deletion { at: event.time, recorded: event.recorded })
}

/// Sets what the event carries. Returns whether a value or a time changed.
fn merge(state: &mut State, event: &Event) -> bool {
    let mut changed = false;
    for (path, value) in leaves(event.entity, &event.fields) {
        changed |= set_leaf(&mut state.fields, path, value, event.time);
    }
    for (name, value) in &event.additional {
        changed |= set(&mut state.additional, name.clone(), value, event.time);
    }
    let sets_status = matches!(event.action.as_str(), "enabled" | "disabled") && event.entity == Entity::User;
    if sets_status && !event.fields.contains_key("status") {
        let status = Value::from(event.action.as_str());
        changed |= set(&mut state.fields, vec!["status".to_owned()], &status, event.time);
    }
    let newest = state.last.time;
    if event.entity.has_members() {
        changed |= Members::apply(&mut state.members, &event.action, &event.fields, event.time, newest);
    }
    // What is forgotten depends only on the newest time, so this changes nothing unless the newest time did.
    state.deleted_at = state.deleted_at.filter(|at| is_remembered(*at, newest));
    if let Some(members) = &mut state.members {
        members.forget(newest);
    }
    changed
}

/// Sets a leaf, unless a newer one is in its place: a list or scalar where the path has an object, or the reverse.
fn set_leaf(fields: &mut BTreeMap<Vec<String>, Field>, path: Vec<String>, value: &Value, time: Time) -> bool {
    if !fields.contains_key(&path) {
        let conflicts = |other: &Vec<String>| other.starts_with(&path) || path.starts_with(other);
        let conflicting = fields.iter().filter(|(other, _)| conflicts(other));
        let conflicting: Vec<_> = conflicting.map(|(other, field)| (other.clone(), field.time)).collect();
        if conflicting.iter().any(|(_, at)| *at > time) {
            return false;
        }
        for (other, _) in &conflicting {
            fields.remove(other);
        }
    }
    set(fields, path, value, time)
}

/// The last writer wins, by the time of the event and not by its arrival.
fn set<K: Ord>(fields: &mut BTreeMap<K, Field>, key: K, value: &Value, time: Time) -> bool {
    match fields.entry(key) {
        Slot::Vacant(slot) => {
            slot.insert(Field { value: value.clone(), time });
            true
        }
        Slot::Occupied(slot) if slot.get().time > time => false,
        Slot::Occupied(mut slot) => {
            let field = slot.get_mut();
            let changed = field.time != time || field.value != *value;
            *field = Field { value: value.clone(), time };
            changed
        }
    }
}
