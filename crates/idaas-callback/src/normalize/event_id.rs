//! The id of an event: IDaaS's, or a generated one, because a CloudEvent must have an id.

use sha2::{Digest, Sha256};

use crate::decode::Context;
use crate::json::Raw;
use crate::redact::redacted;

/// The id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventId {
    /// The `eventId` that IDaaS sent. The answer to IDaaS refers to it.
    Provided(String),
    /// An id generated for an event without `eventId`. The answer to IDaaS does not contain it.
    Generated(String),
}

impl EventId {
    /// The id, provided or generated.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Provided(id) | Self::Generated(id) => id,
        }
    }
}

/// Generates the id of an event without one. It depends on the event, its position, instance and application, but not
/// on the token, so each delivery of a callback yields the same id. Passwords are not hashed, because the id is
/// published.
pub(super) fn generate(context: &Context, event: Raw<'_>, position: usize) -> String {
    let mut hash = Sha256::new();
    for part in [&*context.instance_id, &*context.application_id, redacted(event).get()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update((position as u64).to_be_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    // RFC 9562, version 8: a SHA-256 hash is neither random (version 4) nor a SHA-1 of a name (version 5).
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}
