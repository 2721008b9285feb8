//! The id of an event: the one that IDaaS sent, or one that is made up, because a CloudEvent has to have one.

use sha2::{Digest, Sha256};

use crate::decode::Context;
use crate::json::Raw;
use crate::redact::redacted;

/// The id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventId {
    /// The `eventId` that IDaaS sent, and waits to hear of.
    Provided(String),
    /// IDaaS sent none; this one is made up, and answered nowhere.
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

/// The id of an event that came without one. It depends on what was sent and where, and not on the token, so that every
/// delivery of a callback gives the event the same id. Passwords do not enter the hash, which is published.
pub(super) fn generated(context: &Context, event: Raw<'_>, position: usize) -> String {
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
    // RFC 9562, version 8: the bits of a hash are neither random (version 4) nor a name's SHA-1 (version 5).
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}
