//! Who is who in the outbox: events, lanes, and places in the order of acceptance.

use sha2::{Digest, Sha256};

/// The identity of an event: 128 bits of the SHA-256 of application id and eventId.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey(pub [u8; 16]);

impl EventKey {
    /// The identity of an application's event. The same eventId from two applications is two events.
    #[must_use]
    pub fn of(application_id: &str, event_id: &str) -> Self {
        Self(digest([application_id, event_id]))
    }

    /// Eight bytes of it: it is a hash already.
    pub(super) fn hash(self) -> u64 {
        leading(self.0)
    }
}

/// The identity of a lane: of all records that must keep their order, which are those of one topic and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

impl LaneKey {
    /// The lane of a topic's key. Two that collide by chance wait for one another, which harms nothing.
    #[must_use]
    pub fn of(topic: &str, key: &str) -> Self {
        Self(leading(digest([topic, key])))
    }
}

/// A place in the order of acceptance: also the entry's number in the journal, so it goes on where the journal ended.
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

fn leading([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
