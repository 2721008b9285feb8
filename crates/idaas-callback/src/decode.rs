//! Decodes the text of a callback into its list of events.
//!
//! IDaaS sends `eventData` as a string that contains a JSON array; its documentation shows an array. Both are
//! accepted.

use std::sync::Arc;

use super::decrypt::Plaintext;
use super::event::MAX_ID_LENGTH;
use super::event_type::{Action, Entity, classify};
use super::json::{self, LargeMember, Members};
use super::policy::Policy;
use super::redact::contains_secret;
use crate::refusal::Refusal;

/// A decoded callback. Created only by [`decode`] and for fetched entities.
pub struct Callback {
    pub(super) context: Arc<Context>,
    pub(super) key: Option<usize>,
    /// The JSON array of events as sent.
    pub(super) events: Arc<String>,
    /// Returns the entity and action of an event type.
    pub(super) classify: fn(&str) -> (Entity, Action),
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
        let value = payload.get(name).filter(|value| !contains_secret(*value))?;
        json::identifier(value).filter(|text| text.len() <= MAX_ID_LENGTH).map(|text| text.into_owned())
    };
    Ok(Callback {
        context: Arc::new(Context {
            application_id: policy.application_id.clone(),
            ali_uid: scalar("aliUid"),
            event_version: scalar("eventVersion"),
            instance_id: plaintext.instance_id,
        }),
        key: plaintext.key,
        events: Arc::new(events.into_owned()),
        classify,
    })
}
