//! The current state of one entity.

use std::collections::BTreeMap;
use std::fmt;

use crate::MEMORY;
use crate::entity::Entity;
use crate::event::Event;
use crate::json::{Json, SharedStr};
use crate::members::Members;
use crate::path::Path;
use crate::time::Time;

/// An entity that exists, or a remembered deletion.
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
    /// The time of the deletion. Events up to this time do not recreate the entity.
    pub at: Time,
    /// The timestamp of the deletion's record. The deletion is remembered for seven days from then on.
    pub recorded: Time,
}

impl Deletion {
    /// Returns true if the deletion no longer counts for an event whose record has the timestamp `now`.
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
    /// The leaf fields of the entity.
    pub fields: BTreeMap<Path, Field>,
    /// The members of `additional`.
    pub additional: BTreeMap<SharedStr, Field>,
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
    pub value: Json,
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
    /// Describes an event as the newest of its entity. `snapshot_time` is that of the newest event before it.
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

    /// Returns `ce_source` of the event.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/idaas/{}/{}", self.instance_id, self.application_id)
    }
}

/// A value of a state topic cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateError;

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is not the state of an entity")
    }
}

impl std::error::Error for StateError {}
