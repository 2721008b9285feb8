//! The data of an event for the log and the history: ids, positions and times, but no personal data.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use outbox::verdict::Verdict;
use serde::Serialize;

use super::application::ApplicationMetrics;

/// The data of an event that the log and the history need until its record is confirmed. Both ids share one
/// allocation.
#[derive(Clone)]
pub struct TrackedEvent {
    ids: Box<str>,
    /// The end of the event's id. The entity's id follows it, if there is one.
    end: usize,
    /// The action, if it is known.
    pub action: Option<Action>,
    /// The verdict of the event once the record is confirmed.
    pub verdict: Verdict,
    /// The topic of the record.
    pub topic: Arc<str>,
}

impl TrackedEvent {
    /// Creates a tracked event.
    #[must_use]
    pub fn new(
        event_id: &str,
        entity_id: Option<&str>,
        action: Option<Action>,
        verdict: Verdict,
        topic: Arc<str>,
    ) -> Self {
        let ids = [event_id, entity_id.unwrap_or_default()].concat();
        Self { ids: ids.into(), end: event_id.len(), action, verdict, topic }
    }

    /// Returns the event id.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.ids.get(..self.end).unwrap_or_default()
    }

    /// Returns the id of the user, unit or group.
    #[must_use]
    pub fn entity_id(&self) -> Option<&str> {
        self.ids.get(self.end..).filter(|id| !id.is_empty())
    }

    /// Returns the event with ids of at most `max` bytes. A longer id is cut and ends with [`CUT`].
    pub(super) fn with_ids_up_to(self, max: usize) -> Self {
        if self.end <= max && self.ids.len() - self.end <= max {
            return self;
        }
        let short = |id: &str| match id.get(..id.floor_char_boundary(max)) {
            Some(begin) if begin.len() < id.len() => [begin, CUT].concat(),
            Some(_) | None => id.to_owned(),
        };
        let (event_id, entity_id) = (short(self.event_id()), self.entity_id().map(short));
        Self::new(&event_id, entity_id.as_deref(), self.action, self.verdict, self.topic)
    }
}

/// Ends an id that was cut.
pub(super) const CUT: &str = "…";

/// An event to record.
pub struct RecordedEvent {
    /// The metrics of the event's application.
    pub application: Arc<ApplicationMetrics>,
    /// The event's entity.
    pub entity: Entity,
    /// Its ids, action, topic and verdict.
    pub event: TrackedEvent,
    /// The position of its record, if Kafka has confirmed it.
    pub published: Option<PublishedAt>,
}

/// The position of a record in its topic.
pub struct PublishedAt {
    /// The partition.
    pub partition: i32,
    /// The offset. Negative if the broker already had the record.
    pub offset: i64,
    /// Time from the producer's send to the confirmation.
    pub took: Duration,
}

/// An event as displayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// The time at which it was recorded, in milliseconds since 1970.
    pub time: i64,
    /// Entity and action, for example `user.created`.
    pub r#type: String,
    /// The event id. Ends with `…` if it is too long.
    pub event_id: String,
    /// The id of the user, unit or group.
    pub entity_id: Option<String>,
    /// The configured name of the application.
    pub application: String,
    /// The list in the answer to IDaaS.
    pub list: &'static str,
    /// The verdict's code.
    pub verdict: &'static str,
    /// The topic of its record.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// The time until Kafka confirmed it, in milliseconds.
    pub milliseconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ids_are_kept_apart() {
        let event = |entity_id| TrackedEvent::new("evnt_1", entity_id, None, Verdict::Confirmed, "topic".into());
        let (both, one) = (event(Some("user_1")), event(None));
        assert_eq!((both.event_id(), both.entity_id()), ("evnt_1", Some("user_1")));
        assert_eq!((one.event_id(), one.entity_id()), ("evnt_1", None));
    }
}
