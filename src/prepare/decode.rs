//! From the text of a callback to its list of events, in the form of the wire and in that of the documents.
//!
//! On the wire `eventData` is a string that holds a JSON array; in IDaaS's documents it is an array. Both are read.

use std::sync::Arc;

use super::decrypt::Plaintext;
use super::json::{self, Members};
use super::policy::Policy;
use crate::refusal::Refusal;

/// A callback, read as far as its events. Only [`decode`] makes one.
pub struct Callback {
    pub(super) context: Arc<Context>,
    pub(super) key: Option<usize>,
    /// The JSON array of events, unread.
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
/// [`Refusal::Unreadable`] where the text is no object with `eventData`.
pub fn decode(plaintext: Plaintext, policy: &Policy) -> Result<Callback, Refusal> {
    let payload = Members::parse(&plaintext.text).ok_or(Refusal::Unreadable)?;
    let events = payload.get("eventData").map(json::unwrapped).ok_or(Refusal::Unreadable)?;
    let scalar = |name| payload.get(name).and_then(json::identifier).map(|text| text.into_owned());
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
