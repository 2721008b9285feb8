//! The id of an event: the one that IDaaS sent, or one that is made up, because a CloudEvent has to have one.

use sha2::{Digest, Sha256};

/// The id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventId {
    /// The `eventId` that IDaaS sent, and waits to hear of.
    Sent(String),
    /// IDaaS sent none; this one is made up, and answered nowhere.
    Made(String),
}

impl EventId {
    /// The id, whoever made it.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Sent(id) | Self::Made(id) => id,
        }
    }
}

/// An id for an event that came without one: unique as the token is, so a fresh one at each delivery.
pub(super) fn fresh(signature: &[u8], position: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(signature);
    hash.update(position.to_be_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string()
}
