//! The record to publish on a state topic.

use crate::entity::Entity;
use crate::event::Event;
use crate::merge::Outcome;
use crate::state::Last;

/// A record of a state topic. Its key is the entity's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key: the entity's id.
    pub key: String,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers, in their order: CloudEvents 1.0, binary content mode.
    pub headers: Vec<(&'static str, String)>,
}

impl Record {
    /// Creates the record that publishes the outcome of `event`. Returns `None` if nothing changed.
    #[must_use]
    pub fn of(event: &Event, outcome: &Outcome) -> Option<Self> {
        let (value, headers) = match outcome {
            Outcome::Unchanged => return None,
            Outcome::Updated(state) => (Some(state.to_json()), headers(event, &state.last)),
            Outcome::Deleted(_) => (None, headers(event, &Last::of(event, None))),
        };
        Some(Self { key: event.id.clone(), value, headers })
    }
}

fn headers(event: &Event, last: &Last) -> Vec<(&'static str, String)> {
    let name = event.entity.name();
    vec![
        ("content-type", "application/json".to_owned()),
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", last.event_id.clone()),
        ("ce_source", last.source()),
        ("ce_type", state_type(event.entity)),
        ("ce_subject", event.id.clone()),
        ("ce_time", last.time.to_string()),
        ("ce_dataschema", format!("urn:idaas-bridge:schema:{name}-state:v1")),
        ("ce_partitionkey", event.id.clone()),
    ]
}

/// Returns `ce_type` of the state records of an entity.
fn state_type(entity: Entity) -> String {
    format!("com.alibabacloud.idaas.{}.state.v1", entity.name())
}
