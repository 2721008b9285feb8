//! From the text of a callback to its list of events, in the form of the wire and in that of the documents.
//!
//! On the wire `eventData` is a string that holds a JSON array; in IDaaS's documents it is an array. Both are read.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::decrypt::Plaintext;
use super::field::{self, Field};
use super::json::{self, Members};
use super::policy::Policy;
use crate::refusal::Refusal;

/// A callback, read as far as its events. Only [`decode`] makes one.
pub struct Callback {
    pub(super) context: Arc<Context>,
    pub(super) key: Option<usize>,
    /// The JSON array of events.
    pub(super) events: Arc<String>,
}

/// What all events of a callback have in common.
pub(super) struct Context {
    pub(super) instance_id: String,
    pub(super) application_id: String,
    pub(super) ali_uid: Option<String>,
    pub(super) event_version: Option<String>,
    /// Makes an id for an event without one: as unique as the token.
    pub(super) signature: Vec<u8>,
}

/// Reads the payload's frame.
///
/// # Errors
/// [`Refusal::Unreadable`] where the text is no object with a list of events.
pub fn decode(plaintext: Plaintext, policy: &Policy) -> Result<Callback, Refusal> {
    let payload = Members::parse(&plaintext.text).ok_or(Refusal::Unreadable)?;
    let events = payload.get("eventData").map(json::unwrapped).ok_or(Refusal::Unreadable)?;
    if json::elements(&events).is_none() {
        return Err(Refusal::Unreadable);
    }
    let scalar = |name| match field::identifier(payload.get(name)?)? {
        Field::Value(text) => Some(text.into_owned()),
        Field::Null | Field::Absent => None,
    };
    Ok(Callback {
        context: Arc::new(Context {
            application_id: policy.application_id.clone(),
            ali_uid: scalar("aliUid"),
            event_version: scalar("eventVersion"),
            instance_id: plaintext.instance_id,
            signature: plaintext.signature,
        }),
        key: plaintext.key,
        events: Arc::new(events.into_owned()),
    })
}

impl Callback {
    /// The events, unread, each a slice of [`Callback::events`].
    pub(super) fn elements(&self) -> Vec<&RawValue> {
        json::elements(&self.events).unwrap_or_default()
    }
}
