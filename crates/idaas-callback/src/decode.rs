//! From the text of a callback to its list of events, in the form of the wire and in that of the documents.
//!
//! On the wire `eventData` is a string that holds a JSON array; in IDaaS's documents it is an array. Both are read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::decrypt::Plaintext;
use super::event::MAX_ID_LENGTH;
use super::event_type::{Action, Entity, classify};
use super::json::{self, LargeMember, Members, Raw};
use super::policy::Policy;
use crate::refusal::Refusal;

/// A callback, read as far as its events. Only [`decode`] makes one.
pub struct Callback {
    pub(super) context: Arc<Context>,
    pub(super) key: Option<usize>,
    pub(super) events: Arc<Events>,
    /// The entity and action of an event type.
    pub(super) classify: fn(&str) -> (Entity, Action),
}

/// The JSON array of events as it was sent. Single events are looked up only for dead letters, and only then is it
/// found out where each stands: once, because a broker can refuse all of thousands.
pub(super) struct Events {
    text: String,
    places: OnceLock<Vec<Range<usize>>>,
}

impl Events {
    /// The events of this JSON array.
    pub(super) fn of(mut text: String) -> Self {
        // It stays until the last of them is confirmed, and was given the room of its escapes.
        text.shrink_to_fit();
        Self { text, places: OnceLock::new() }
    }

    /// The whole array.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The event at a position.
    pub(super) fn get(&self, position: usize) -> Raw<'_> {
        let places = self.places.get_or_init(|| {
            let place = |raw: Raw<'_>| json::place(&self.text, raw.get()).unwrap_or_default();
            json::elements(&self.text).unwrap_or_default().into_iter().map(place).collect()
        });
        let text = places.get(position).and_then(|place| self.text.get(place.clone()));
        text.and_then(Raw::parse).unwrap_or(Raw::NULL)
    }
}

/// What all events of a callback have in common.
pub(super) struct Context {
    pub(super) instance_id: String,
    pub(super) application_id: String,
    pub(super) ali_uid: Option<String>,
    pub(super) event_version: Option<String>,
}

/// Reads the payload's frame.
///
/// # Errors
/// [`Refusal::Unreadable`] where the text is not an object with `eventData`.
pub fn decode(plaintext: Plaintext, policy: &Policy) -> Result<Callback, Refusal> {
    let bulk = LargeMember { name: "eventData", capacity: plaintext.text.len() };
    let mut payload = Members::parse_with(&plaintext.text, bulk).ok_or(Refusal::Unreadable)?;
    let events = payload.take_large().ok_or(Refusal::Unreadable)?;
    // One that is longer than any real one would keep every record from fitting.
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
