//! Identities in the outbox: events, lanes, and sequence numbers.

use sha2::{Digest, Sha256};

/// The identity of an event: 128 bits of the SHA-256 of application id and `eventId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey(pub [u8; 16]);

impl EventKey {
    /// Computes the identity of an event. The same `eventId` from two applications is two events.
    #[must_use]
    pub fn of(application_id: &str, event_id: &str) -> Self {
        Self(digest([application_id, event_id]))
    }

    /// Returns eight bytes of the key, which is already a hash.
    pub(super) fn hash(self) -> u64 {
        first_eight_bytes(self.0)
    }
}

/// The identity of a lane: all records of one topic and key, which must stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

impl LaneKey {
    /// Computes the lane of a topic and key. Lanes that collide wait for one another, which is harmless.
    #[must_use]
    pub fn of(topic: &str, key: &str) -> Self {
        Self(first_eight_bytes(digest([topic, key])))
    }
}

/// A position in the order of acceptance. It is also the number of the journal entry, so numbering continues after the
/// last entry of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

fn digest([first, second]: [&str; 2]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((first.len() as u64).to_be_bytes());
    hash.update(first);
    hash.update(second);
    let mut key = [0; 16];
    for (byte, hashed) in key.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    key
}

fn first_eight_bytes([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
