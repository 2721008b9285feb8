//! The merge rules.

use std::collections::BTreeMap;

use crate::entity::Entity;
use crate::event::Event;
use crate::json::{Json, SharedStr};
use crate::members::{Members, is_remembered};
use crate::path::Path;
use crate::state::{Deletion, Entry, Field, Last, State};
use crate::time::Time;

/// The result of merging an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The new state, if there is one.
    pub outcome: Outcome,
    /// True if the event is older than the newest event of the entity.
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

/// Merges an event into the state of its entity.
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

/// Merges the first event of an entity, or the first after a deletion.
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

/// Merges a further event of an entity that exists.
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
    // The newest time decides which marks expire, so it changes first.
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

/// Sets the fields that the event carries. Returns true if a value or a time changed.
fn merge(state: &mut State, event: &Event) -> bool {
    let mut changed = false;
    if state.fields.is_empty() {
        // Building the map at once is much faster than inserting one field after the other.
        let field = |(path, value): &(Path, Json)| (path.clone(), Field { value: value.clone(), time: event.time });
        state.fields = event.fields.leaves.iter().map(field).collect();
        changed |= !state.fields.is_empty();
    } else {
        for (path, value) in &event.fields.leaves {
            changed |= set_leaf(&mut state.fields, path, value, event.time);
        }
    }
    for (name, value) in &event.additional {
        changed |= set(&mut state.additional, name, value, event.time);
    }
    let sets_status = matches!(event.action.as_str(), "enabled" | "disabled") && event.entity == Entity::User;
    if sets_status && !event.fields.has_status {
        let (path, status) = (Path::from(SharedStr::from("status")), Json::plain_string(&event.action));
        changed |= set(&mut state.fields, &path, &status, event.time);
    }
    let newest = state.last.time;
    if event.entity.has_members() {
        changed |= Members::apply(&mut state.members, &event.action, &event.fields, event.time, newest);
    }
    // Only the newest time decides which marks expire, so nothing changes here unless the newest time changed.
    state.deleted_at = state.deleted_at.filter(|at| is_remembered(*at, newest));
    if let Some(members) = &mut state.members {
        members.forget(newest);
    }
    changed
}

/// Sets a leaf, unless a newer leaf conflicts with it: a list or scalar where the path has an object, or the reverse.
fn set_leaf(fields: &mut BTreeMap<Path, Field>, path: &Path, value: &Json, time: Time) -> bool {
    if let Some(field) = fields.get_mut(path) {
        return replace(field, value, time);
    }
    let above = path.parents().filter_map(|parent| fields.get_key_value(&parent));
    let below = fields.range(path..).take_while(|(other, _)| other.starts_with(path));
    let conflicting: Vec<_> = above.chain(below).map(|(other, field)| (other.clone(), field.time)).collect();
    if conflicting.iter().any(|(_, at)| *at > time) {
        return false;
    }
    for (other, _) in &conflicting {
        fields.remove(other);
    }
    fields.insert(path.clone(), Field { value: value.clone(), time });
    true
}

fn set<K: Ord + Clone>(fields: &mut BTreeMap<K, Field>, key: &K, value: &Json, time: Time) -> bool {
    if let Some(field) = fields.get_mut(key) {
        return replace(field, value, time);
    }
    fields.insert(key.clone(), Field { value: value.clone(), time });
    true
}

/// The last writer wins, by the time of the event and not by its arrival.
fn replace(field: &mut Field, value: &Json, time: Time) -> bool {
    if field.time > time {
        return false;
    }
    let changed = field.time != time || field.value != *value;
    *field = Field { value: value.clone(), time };
    changed
}
