//! One event, on its way into the history and out of it: ids, places and times, and nothing of what it says about anybody.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use outbox::verdict::Verdict;
use serde::Serialize;

use super::application::ApplicationMetrics;

/// What the log and the history need to know of an event until its record is confirmed. Both ids are in one allocation.
#[derive(Clone)]
pub struct TrackedEvent {
    ids: Box<str>,
    /// Where the event's id ends. The entity's id follows it, if there is one.
    end: usize,
    /// What happened, if it is known.
    pub action: Option<Action>,
    /// The verdict of the event once the record is confirmed.
    pub verdict: Verdict,
    /// The topic of the record.
    pub topic: Arc<str>,
}

impl TrackedEvent {
    /// An event with these ids.
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

    /// The eventId.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.ids.get(..self.end).unwrap_or_default()
    }

    /// The id of the user, unit or group.
    #[must_use]
    pub fn entity_id(&self) -> Option<&str> {
        self.ids.get(self.end..).filter(|id| !id.is_empty())
    }
}

/// An event to record.
pub struct RecordedEvent<'a> {
    /// Whose event it is.
    pub application: &'a Arc<ApplicationMetrics>,
    /// What it is about.
    pub entity: Entity,
    /// What happened, if it is known.
    pub action: Option<Action>,
    /// The eventId.
    pub event_id: &'a str,
    /// The id of the user, unit or group.
    pub entity_id: Option<&'a str>,
    /// What became of it.
    pub verdict: Verdict,
    /// Where its record is, if Kafka has confirmed it.
    pub published: Option<PublishedAt<'a>>,
}

/// Where a record is.
pub struct PublishedAt<'a> {
    /// The topic.
    pub topic: &'a Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; negative if the broker had the record already.
    pub offset: i64,
    /// From handing it over until it was confirmed.
    pub took: Duration,
}

/// An event as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownEvent {
    /// When it was recorded, in milliseconds since 1970.
    pub time: i64,
    /// Entity and action, for example `user.created`.
    pub r#type: String,
    /// The eventId. One that is too long ends with `…`.
    pub event_id: String,
    /// The id of the user, unit or group.
    pub entity_id: Option<String>,
    /// The configured name of its application.
    pub application: String,
    /// The list in which it was answered.
    pub list: &'static str,
    /// The verdict's code.
    pub verdict: &'static str,
    /// Where its record is.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// How long Kafka took to confirm it.
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
