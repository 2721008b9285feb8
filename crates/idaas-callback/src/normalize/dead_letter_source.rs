//! The original of an event, kept in case the broker rejects its record and a dead letter is needed. On disk it is a
//! [`StoredOriginal`].

use std::ops::Range;
use std::sync::Arc;

use crate::decode::Context;
use crate::json::{Raw, range_of};
use crate::redact::redacted;

/// An event as sent, kept until its record is confirmed. At first it keeps its whole callback in memory, because most
/// events are confirmed at once and a copy of each would be a measurable part of the cost of a callback. What is kept
/// for longer has to be [detached](DeadLetterSource::detached).
#[derive(Clone)]
pub struct DeadLetterSource {
    pub(super) context: Arc<Context>,
    event: Text,
    pub(super) received_at: i64,
    /// The id generated for an event that has none, or one that is too long for a dead letter.
    generated_id: Option<Box<str>>,
}

/// The event's JSON.
#[derive(Clone)]
enum Text {
    /// A part of the array of the callback's events.
    Part(Arc<String>, Range<usize>),
    Copy(Box<str>),
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
    /// Creates the source of one of `events`, an array as sent.
    pub(super) fn new(
        context: Arc<Context>,
        events: &Arc<String>,
        event: Raw<'_>,
        received_at: i64,
        generated_id: Option<String>,
    ) -> Self {
        let event = match range_of(events, event.get()) {
            Some(range) => Text::Part(Arc::clone(events), range),
            None => Text::Copy(event.get().into()),
        };
        Self { context, event, received_at, generated_id: generated_id.map(Into::into) }
    }

    /// Returns a copy that keeps no other event in memory. `None` if this one does not either.
    #[must_use]
    pub fn detached(&self) -> Option<Self> {
        match &self.event {
            Text::Part(..) => Some(Self { event: Text::Copy(self.text().into()), ..self.clone() }),
            Text::Copy(_) => None,
        }
    }

    fn text(&self) -> &str {
        match &self.event {
            Text::Part(events, range) => events.get(range.clone()).unwrap_or_default(),
            Text::Copy(text) => text,
        }
    }

    /// Returns the event as sent.
    pub(super) fn event(&self) -> Raw<'_> {
        // Every element of a list of events is a JSON value, so the fallback is used only for a damaged entry.
        Raw::parse(self.text()).unwrap_or(Raw::NULL)
    }

    /// Returns the number of bytes that it keeps in memory for its event alone.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text().len() + self.generated_id().map_or(0, str::len)
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
            event: redacted(self.event()).get().to_owned(),
            received_at: self.received_at,
            generated_id: self.generated_id().unwrap_or_default().to_owned(),
        }
    }

    /// Restores the source. Its dead letter is the same as that of the original.
    #[must_use]
    pub fn from_stored(stored: StoredOriginal) -> Self {
        let StoredOriginal { instance_id, application_id, ali_uid, event_version, event, received_at, generated_id } =
            stored;
        let context = Context { instance_id, application_id, ali_uid, event_version };
        Self {
            context: Arc::new(context),
            event: Text::Copy(event.into()),
            received_at,
            generated_id: (!generated_id.is_empty()).then(|| generated_id.into()),
        }
    }

    /// Returns the id that was generated for it, if any.
    pub(super) fn generated_id(&self) -> Option<&str> {
        self.generated_id.as_deref()
    }
}
