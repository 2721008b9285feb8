//! Merges the events of the event topics into the current state of users, organizational units and groups.
//!
//! Pure: no clock, no I/O, no logging. [`Event::read`] reads a record of an event topic, [`apply`] merges it into
//! the state of its entity, and [`Record`] is the state record to publish. The result depends only on the events of an
//! entity and their order, so folding the same partition twice gives the same records.

mod entity;
mod event;
mod json;
mod members;
mod merge;
mod path;
mod record;
mod state;
mod state_json;
mod time;

pub use entity::Entity;
pub use event::{Event, Fields, ReadError};
pub use json::{Json, SharedStr};
pub use members::{Member, Members};
pub use merge::{Change, Outcome, apply};
pub use path::Path;
pub use record::Record;
pub use state::{Deletion, Entry, Field, Last, State, StateError};
pub use time::Time;

/// Time for which deletions and removals of members are remembered. IDaaS delivers no event later than that.
pub const MEMORY: Time = Time::from_millis(7 * 24 * 60 * 60 * 1000);
