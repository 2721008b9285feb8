//! The original of an event, kept in case the broker rejects its record and a dead letter is needed. Until the record
//! is confirmed, it refers to the callback in memory; on disk it is a [`StoredOriginal`].

use std::sync::Arc;

use super::event_id;
use crate::decode::{Context, Events};
use crate::redact::redacted;

/// An event as sent, kept by reference until its record is confirmed.
#[derive(Clone)]
pub struct DeadLetterSource {
    pub(super) context: Arc<Context>,
    pub(super) events: Arc<Events>,
    pub(super) position: usize,
    pub(super) received_at: i64,
    /// The id generated for an event that has none, or one that is too long for a dead letter.
    generated_id: Option<Box<str>>,
}

/// The part of a [`DeadLetterSource`] that must survive a restart: this one event, without members named `password`.
/// Has no `Debug`, because it contains personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredOriginal {
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// The application that received it.
    pub application_id: String,
    /// The payload's `aliUid`.
    pub ali_uid: Option<String>,
    /// The payload's `eventVersion`.
    pub event_version: Option<String>,
    /// The event's JSON.
    pub event: String,
    /// Time of receipt, in milliseconds since 1970.
    pub received_at: i64,
    /// The generated id of an event that has none, or one that is too long for a dead letter; otherwise empty.
    pub generated_id: String,
}

impl DeadLetterSource {
    pub(super) const fn new(context: Arc<Context>, events: Arc<Events>, position: usize, received_at: i64) -> Self {
        Self { context, events, position, received_at, generated_id: None }
    }

    /// Returns the part to store on disk. Copies the event.
    #[must_use]
    pub fn stored_original(&self) -> StoredOriginal {
        let Context { instance_id, application_id, ali_uid, event_version } = &*self.context;
        StoredOriginal {
            instance_id: instance_id.clone(),
            application_id: application_id.clone(),
            ali_uid: ali_uid.clone(),
            event_version: event_version.clone(),
            event: redacted(self.events.get(self.position)).get().to_owned(),
            received_at: self.received_at,
            generated_id: self.generated_id().unwrap_or_default().to_owned(),
        }
    }

    /// The source that this was stored from. Its dead letter is the same as that of the original.
    #[must_use]
    pub fn from_stored(stored: StoredOriginal) -> Self {
        let StoredOriginal {
            instance_id,
            application_id,
            ali_uid,
            event_version,
            event,
            received_at,
            generated_id: made_id,
        } = stored;
        let context = Context { instance_id, application_id, ali_uid, event_version };
        let events = Events::of(format!("[{event}]"));
        Self {
            context: Arc::new(context),
            events: Arc::new(events),
            position: 0,
            received_at,
            generated_id: (!made_id.is_empty()).then(|| made_id.into()),
        }
    }

    /// Generates an id for an event that came without one, or with one too long for a dead letter.
    pub(super) fn generate_id(&mut self) {
        let event = self.events.get(self.position);
        self.generated_id = Some(event_id::generate(&self.context, event, self.position).into());
    }

    /// Returns the id that [`Self::generate_id`] created, if any.
    pub(super) fn generated_id(&self) -> Option<&str> {
        self.generated_id.as_deref()
    }
}
