//! Decodes the text of a callback into its list of events.
//!
//! IDaaS sends `eventData` as a string that contains a JSON array; its documentation shows an array. Both are
//! accepted.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::decrypt::Plaintext;
use super::event::MAX_ID_LENGTH;
use super::event_type::{Action, Entity, classify};
use super::json::{self, LargeMember, Members, Raw};
use super::policy::Policy;
use crate::refusal::Refusal;

/// A decoded callback. Created only by [`decode`] and for fetched entities.
pub struct Callback {
    pub(super) context: Arc<Context>,
    pub(super) key: Option<usize>,
    pub(super) events: Arc<Events>,
    /// Returns the entity and action of an event type.
    pub(super) classify: fn(&str) -> (Entity, Action),
}

/// The JSON array of events as sent. Positions of single events are needed only for dead letters, so they are
/// computed on first use, and once: a broker can reject thousands of records of one callback.
pub(super) struct Events {
    text: String,
    ranges: OnceLock<Vec<Range<usize>>>,
}

impl Events {
    /// Takes the text of a JSON array of events.
    pub(super) fn of(mut text: String) -> Self {
        // The text is kept until the last event is confirmed, and has capacity for the escapes that it no longer
        // contains.
        text.shrink_to_fit();
        Self { text, ranges: OnceLock::new() }
    }

    /// Returns the whole array.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the event at a position.
    pub(super) fn get(&self, position: usize) -> Raw<'_> {
        let ranges = self.ranges.get_or_init(|| {
            let range = |raw: Raw<'_>| json::range_of(&self.text, raw.get()).unwrap_or_default();
            json::elements(&self.text).unwrap_or_default().into_iter().map(range).collect()
        });
        let text = ranges.get(position).and_then(|range| self.text.get(range.clone()));
        text.and_then(Raw::parse).unwrap_or(Raw::NULL)
    }
}

/// The attributes that all events of a callback share.
pub(super) struct Context {
    pub(super) instance_id: String,
    pub(super) application_id: String,
    pub(super) ali_uid: Option<String>,
    pub(super) event_version: Option<String>,
}

/// Decodes the payload, but not the events in it.
///
/// # Errors
/// [`Refusal::Unreadable`] if the text is not an object with `eventData`.
pub fn decode(plaintext: Plaintext, policy: &Policy) -> Result<Callback, Refusal> {
    let large_member = LargeMember { name: "eventData", capacity: plaintext.text.len() };
    let mut payload = Members::parse_with(&plaintext.text, large_member).ok_or(Refusal::Unreadable)?;
    let events = payload.take_large().ok_or(Refusal::Unreadable)?;
    // Ignores values that are longer than any real one, because they could make every record too large.
    let scalar = |name| {
        let text = payload.get(name).and_then(json::identifier).filter(|text| text.len() <= MAX_ID_LENGTH);
        text.map(|text| text.into_owned())
    };
    Ok(Callback {
        context: Arc::new(Context {
            application_id: policy.application_id.clone(),
            ali_uid: scalar("aliUid"),
            event_version: scalar("eventVersion"),
            instance_id: plaintext.instance_id,
        }),
        key: plaintext.key,
        events: Arc::new(Events::of(events.into_owned())),
        classify,
    })
}
