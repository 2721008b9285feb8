//! Callbacks that are authentic, but cannot be decrypted or read: what is kept of each.

use std::fmt;

use idaas_callback::{QuarantinedCallback, QuarantinedContent, Refusal};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use sha2::{Digest, Sha256};

use super::entry::{DecodeFault, append, parse};

/// Version of the encoding of index rows.
const ROW_VERSION: u8 = 1;

/// Version of the encoding of callbacks. Version 1, without the application's id, is read as well.
const VERSION: u8 = 2;

/// Divisor of `journal.max_size`: the quarantine can use a quarter of it. The limit is a size and not a number, because
/// an undecryptable callback is stored once per delivery: IDaaS encrypts every delivery with a new nonce, so without
/// the key two deliveries of the same events do not look alike.
const SHARE: u64 = 4;

/// Returns the limit of the quarantine for a journal of `max_size`, in bytes.
#[must_use]
pub const fn limit(max_size: u64) -> u64 {
    max_size / SHARE
}

/// Sort key of a quarantined callback in a replay: time of receipt, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryOrder {
    /// When the callback was received, in milliseconds since 1970.
    pub received_at: i64,
    /// Id of the callback.
    pub id: QuarantineId,
}

/// Id of a quarantined callback: the first 128 bits of the SHA-256 of application and content. Equal content is
/// therefore stored once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuarantineId(pub(super) u128);

impl QuarantineId {
    /// The lowest id.
    pub const FIRST: Self = Self(0);

    /// Returns the next id, or `None` after the highest.
    pub(super) const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }

    fn of(application: &str, content: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((application.len() as u64).to_be_bytes());
        hash.update(application);
        hash.update(content);
        let leading = hash.finalize().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
        Self(leading)
    }

    /// Parses an id as it is displayed: 32 hexadecimal digits. Returns `None` if the text is not an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| digits).map(Self)
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A quarantined callback with its content. Has no `Debug`, because it can hold personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Configured name of the application.
    pub application: String,
    /// The reason: [`Refusal::Undecryptable`] or [`Refusal::Unreadable`].
    pub reason: Refusal,
    /// When the callback was received, in milliseconds since 1970.
    pub received_at: i64,
    /// W3C trace context of the request, if it had one.
    pub traceparent: Option<String>,
    /// The callback itself.
    pub callback: QuarantinedCallback,
}

/// A callback in quarantine without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Id of the callback.
    pub id: QuarantineId,
    /// Configured name of the application.
    pub application: String,
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// The reason: [`Refusal::Undecryptable`] or [`Refusal::Unreadable`].
    pub reason: Refusal,
    /// When the callback was received, in milliseconds since 1970.
    pub received_at: i64,
    /// Size of the content, in bytes.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct WireRow<'a> {
    application: &'a str,
    instance_id: &'a str,
    unreadable: bool,
    received_at: i64,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct WireCallback<'a> {
    #[serde(borrow)]
    fields: WireFields<'a>,
    application_id: Option<&'a str>,
}

/// What all versions have.
#[derive(Serialize, Deserialize)]
struct WireFields<'a> {
    application: &'a str,
    instance_id: &'a str,
    unreadable: bool,
    received_at: i64,
    traceparent: Option<&'a str>,
    encrypted: bool,
    content: &'a str,
}

/// Version 1.
#[derive(Serialize, Deserialize)]
struct WireCallbackV1<'a> {
    #[serde(borrow)]
    fields: WireFields<'a>,
    /// Empty, or the token's signature.
    reserved: &'a Bytes,
}

impl Quarantined {
    /// Returns the id of the callback.
    #[must_use]
    pub fn id(&self) -> QuarantineId {
        QuarantineId::of(&self.application, self.content())
    }

    /// Returns the approximate size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.content().len() + 512
    }

    /// Returns the content: a JWE, or plaintext that can hold personal data.
    pub(super) fn content(&self) -> &str {
        match &self.callback.content {
            QuarantinedContent::Encrypted(text) | QuarantinedContent::Plain(text) => text,
        }
    }

    /// Appends the encoded index row to `output`.
    pub(super) fn encode_row(&self, output: &mut Vec<u8>) {
        let wire = WireRow {
            application: &self.application,
            instance_id: &self.callback.instance_id,
            unreadable: self.reason == Refusal::Unreadable,
            received_at: self.received_at,
            bytes: self.content().len() as u64,
        };
        append(ROW_VERSION, &wire, output);
    }

    /// Appends the encoded callback to `output`.
    pub(super) fn encode(&self, output: &mut Vec<u8>) {
        let fields = WireFields {
            application: &self.application,
            instance_id: &self.callback.instance_id,
            unreadable: self.reason == Refusal::Unreadable,
            received_at: self.received_at,
            traceparent: self.traceparent.as_deref(),
            encrypted: matches!(self.callback.content, QuarantinedContent::Encrypted(_)),
            content: self.content(),
        };
        let application_id = self.callback.application_id.as_deref();
        append(VERSION, &WireCallback { fields, application_id }, output);
    }

    /// Decodes a callback. Call this only with bytes whose seal has been verified: the result counts as authentic.
    ///
    /// # Errors
    /// Returns a [`DecodeFault`] if the bytes cannot be decoded.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeFault> {
        let WireCallback { fields: wire, application_id } = if bytes.first() == Some(&1) {
            let WireCallbackV1 { fields, reserved: _ } = parse(1, bytes)?;
            WireCallback { fields, application_id: None }
        } else {
            parse(VERSION, bytes)?
        };
        let content = wire.content.to_owned();
        Ok(Self {
            application: wire.application.to_owned(),
            reason: reason(wire.unreadable),
            received_at: wire.received_at,
            traceparent: wire.traceparent.map(str::to_owned),
            callback: QuarantinedCallback {
                instance_id: wire.instance_id.to_owned(),
                application_id: application_id.map(str::to_owned),
                content: if wire.encrypted {
                    QuarantinedContent::Encrypted(content)
                } else {
                    QuarantinedContent::Plain(content)
                },
            },
        })
    }
}

impl QuarantineRow {
    /// Decodes an index row.
    ///
    /// # Errors
    /// Returns a [`DecodeFault`] if the bytes cannot be decoded.
    pub(super) fn decode(id: QuarantineId, bytes: &[u8]) -> Result<Self, DecodeFault> {
        let wire: WireRow<'_> = parse(ROW_VERSION, bytes)?;
        Ok(Self {
            id,
            application: wire.application.to_owned(),
            instance_id: wire.instance_id.to_owned(),
            reason: reason(wire.unreadable),
            received_at: wire.received_at,
            bytes: wire.bytes,
        })
    }
}

const fn reason(unreadable: bool) -> Refusal {
    if unreadable { Refusal::Unreadable } else { Refusal::Undecryptable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_of_version_1_is_still_read() {
        let fields = WireFields {
            application: "workforce",
            instance_id: "idaas_1",
            unreadable: true,
            received_at: 7,
            traceparent: None,
            encrypted: false,
            content: "[]",
        };
        let mut stored = Vec::new();
        append(1, &WireCallbackV1 { fields, reserved: Bytes::new(b"signature") }, &mut stored);
        let read = Quarantined::decode(&stored).unwrap();
        assert_eq!((read.application.as_str(), read.content(), read.received_at), ("workforce", "[]", 7));
        assert_eq!(read.callback.application_id, None);
        let mut stored = Vec::new();
        read.encode(&mut stored);
        assert!(Quarantined::decode(&stored).unwrap() == read);
    }
}
