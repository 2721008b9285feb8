//! Records of entities that were read from the directory instead of being sent by IDaaS. They have the same fields as
//! the records of callbacks, because they use the same mapping.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::decode::{Callback, Context};
use super::event_type::{Action, Entity};
use super::normalize::{PreparedEvent, RequestContext, normalize};
use super::policy::Policy;

/// The prefix of the event types of fetched entities. It differs from that of IDaaS event types.
const PREFIX: &str = "urn:idaas-bridge:fetch:";
/// The suffix of the event type of a deleted entity.
const DELETED: &str = ":deleted";
/// The entities that can be fetched from a directory.
const ENTITIES: [Entity; 3] = [Entity::OrganizationalUnit, Entity::User, Entity::Group];

/// An entity as read from the directory.
#[derive(Clone, Copy)]
pub struct FetchedEntity<'a> {
    /// The kind of entity.
    pub entity: Entity,
    /// True if the entity was deleted. The record's action is then `deleted`, otherwise `snapshot`.
    pub deleted: bool,
    /// The entity's id.
    pub id: &'a str,
    /// The record's `ce_id`.
    pub event_id: &'a str,
    /// The id of the entity's IDaaS instance.
    pub instance_id: &'a str,
    /// Time of the request that read it, in milliseconds since 1970. It becomes the record's `ce_time`.
    pub read_at: i64,
    /// The entity's fields under the names that callbacks use, as a JSON object.
    pub fields: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_id: &'a str,
    event_type: String,
    event_time: i64,
    biz_id: &'a str,
    biz_data: &'a RawValue,
}

/// Creates the record of a fetched entity. `None` only if the fields are not a JSON object.
#[must_use]
pub fn prepare_fetched(
    fetched: &FetchedEntity<'_>,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Option<PreparedEvent> {
    let FetchedEntity { entity, deleted, id, event_id, instance_id, read_at, fields } = *fetched;
    let event =
        Event { event_id, event_type: event_type(entity, deleted), event_time: read_at, biz_id: id, biz_data: fields };
    let context = Context {
        instance_id: instance_id.to_owned(),
        application_id: policy.application_id.clone(),
        ali_uid: None,
        event_version: None,
    };
    let events = serde_json::to_string(&[event]).ok()?;
    let callback = Callback { context: Arc::new(context), key: None, events: Arc::new(events), classify };
    normalize(&callback, policy, request).ok()?.pop()
}

/// Returns the event type of a fetched entity.
#[must_use]
pub fn event_type(entity: Entity, deleted: bool) -> String {
    [PREFIX, entity.name(), if deleted { DELETED } else { "" }].concat()
}

fn classify(event_type: &str) -> (Entity, Action) {
    let rest = event_type.strip_prefix(PREFIX).unwrap_or_default();
    let (name, action) = match rest.strip_suffix(DELETED) {
        Some(name) => (name, Action::Deleted),
        None => (rest, Action::Snapshot),
    };
    let entity = ENTITIES.into_iter().find(|entity| entity.name() == name);
    entity.map_or((Entity::Unclassified, Action::Unknown), |entity| (entity, action))
}
