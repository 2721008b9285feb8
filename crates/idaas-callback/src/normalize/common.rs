//! The data that all records of a callback share, and the CloudEvents attributes derived from it.

use super::RequestContext;
use crate::decode::Context;
use crate::event::Event;
use crate::event_type::{Action, Entity};
use crate::policy::EventMode;
use crate::record::Attributes;
use crate::value::Origin;

/// What the records of a callback have in common, of every entity.
pub(super) struct Common<'a> {
    pub(super) request: RequestContext<'a>,
    pub(super) context: &'a Context,
    pub(super) received_at: &'a str,
    pub(super) mode: EventMode,
}

impl Common<'_> {
    /// Returns the CloudEvents attributes of an event's record.
    pub(super) fn attributes<'e>(
        &'e self,
        event: &'e Event<'_>,
        id: &'e str,
        (entity, action): (Entity, Action),
        (key, subject): (Option<&'e str>, Option<&'e str>),
    ) -> Attributes<'e> {
        Attributes {
            id,
            instance_id: &self.context.instance_id,
            application_id: &self.context.application_id,
            entity,
            action,
            subject,
            time: rfc3339_of(event),
            key,
            traceparent: self.request.traceparent,
            timestamp: self.request.received_at,
        }
    }

    pub(super) fn origin<'e>(&'e self, event: &'e Event<'_>) -> Origin<'e> {
        Origin {
            event_id: event.id.as_deref(),
            event_type: event.event_type.as_deref(),
            event_time: rfc3339_of(event),
            instance_id: &self.context.instance_id,
            ali_uid: self.context.ali_uid.as_deref(),
            application_id: &self.context.application_id,
            biz_id: event.biz_id.as_deref(),
            event_version: self.context.event_version.as_deref(),
            received_at: self.received_at,
        }
    }
}

fn rfc3339_of<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    event.time.as_ref().map(|time| &*time.rfc3339)
}
