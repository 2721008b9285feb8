//! Deliberate faults, and the answers that a correct bridge gives.
//!
//! The expected answers are listed here from the interface's description, not taken from the bridge's code: otherwise
//! a mistake there would go unnoticed.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::answer::List;
use super::attacks;
use super::events::Event;
use super::kind::{Kind, Subject};
use super::payload::{self, Form};
use super::tenant_keys::TenantKeys;
use super::token::Callback;
use crate::signing::SigningFault;

/// Size of a body that exceeds the bridge's default limit of 8 MiB.
const TOO_LARGE: usize = 8 * 1024 * 1024 + 64 * 1024;

/// Size of a member that makes a record larger than brokers accept by default (1 MiB).
const TOO_LARGE_FOR_A_RECORD: usize = 1_200_000;

/// A deliberate fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// The token expired half an hour ago
    Expired,
    /// The token will be issued in an hour
    NotYetValid,
    /// Signed by another key under the real key's id
    WrongKey,
    /// The key id was never published
    UnknownKey,
    /// HS256, signed with the public key
    WrongAlgorithm,
    /// Not signed, `alg: none`
    NoneAlgorithm,
    /// A header extension that must be understood (`crit`)
    CriticalHeader,
    /// Addressed to another application
    WrongAudience,
    /// Comes from another instance
    WrongInstance,
    /// Comes from another issuer
    WrongIssuer,
    /// A claim changed after signing
    Tampered,
    /// Encrypted with a key that the bridge does not have
    WrongEncryptionKey,
    /// `plainData`, although encryption is required
    NotEncrypted,
    /// A compressed plaintext inside the encryption (`zip`)
    Deflated,
    /// Authentic, but its content is not a list of events
    Unreadable,
    /// A gzip-compressed body
    Compressed,
    /// A body that is not JSON
    NotJson,
    /// A body over 8 MiB
    TooLarge,
    /// Every event of an unknown type
    UnknownType,
    /// Events without a type
    MalformedEvent,
    /// Events without an id
    MissingEventId,
    /// Events whose bizData is not a JSON object
    MalformedData,
    /// Events without an entity id
    MissingEntityId,
    /// Events that fit no record
    RecordTooLarge,
    /// Each event twice in its callback
    Duplicate,
    /// Each callback again after its answer, with a new token
    Redelivery,
}

/// The answer that the bridge must give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The whole callback is refused.
    Refusal {
        /// The HTTP status.
        status: u16,
        /// The member `error` of the body.
        code: &'static str,
    },
    /// The event is in this list with this code.
    Verdict(List, &'static str),
    /// The event is in no list, because it has no id.
    NoVerdict,
}

/// A request ready to be posted.
#[derive(Clone)]
pub struct Request {
    /// The body.
    pub body: Vec<u8>,
    /// The header `Content-Encoding`, if there is one.
    pub encoding: Option<&'static str>,
}

impl From<String> for Request {
    fn from(body: String) -> Self {
        Self { body: body.into_bytes(), encoding: None }
    }
}

impl Fault {
    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Returns the answer that the bridge must give to an event with this fault, or to its whole callback.
    #[must_use]
    pub const fn expected(self) -> Expected {
        const fn refusal(status: u16, code: &'static str) -> Expected {
            Expected::Refusal { status, code }
        }
        match self {
            Self::Expired => refusal(401, "expired"),
            Self::NotYetValid => refusal(401, "not_yet_valid"),
            Self::WrongKey | Self::Tampered => refusal(401, "bad_signature"),
            Self::UnknownKey => refusal(401, "unknown_key"),
            Self::WrongAlgorithm | Self::NoneAlgorithm => refusal(401, "bad_algorithm"),
            Self::CriticalHeader => refusal(401, "unsupported_header"),
            Self::WrongAudience => refusal(401, "wrong_audience"),
            Self::WrongInstance => refusal(401, "wrong_instance"),
            Self::WrongIssuer => refusal(401, "wrong_issuer"),
            Self::NotEncrypted => refusal(401, "not_encrypted"),
            Self::WrongEncryptionKey | Self::Deflated => refusal(422, "undecryptable"),
            Self::Unreadable => refusal(422, "unreadable"),
            Self::Compressed => refusal(415, "unsupported_encoding"),
            Self::NotJson => refusal(400, "malformed"),
            Self::TooLarge => refusal(413, "too_large"),
            Self::MalformedEvent => Expected::Verdict(List::Failed, "malformed_event"),
            Self::MalformedData => Expected::Verdict(List::Failed, "malformed_data"),
            Self::MissingEntityId => Expected::Verdict(List::Failed, "missing_entity_id"),
            Self::RecordTooLarge => Expected::Verdict(List::Failed, "record_too_large"),
            Self::MissingEventId => Expected::NoVerdict,
            Self::UnknownType | Self::Duplicate | Self::Redelivery => Expected::SUCCESS,
        }
    }

    /// Returns true if this fault changes the event. Other events are sent unchanged.
    #[must_use]
    pub fn touches(self, event: &Event) -> bool {
        let entities = [Subject::User, Subject::Unit, Subject::Group];
        !matches!(self, Self::MalformedData | Self::MissingEntityId)
            || event.kind.is_some_and(|kind| entities.contains(&kind.subject()))
    }

    /// Returns the elements of `eventData` with this fault.
    #[must_use]
    pub fn event_values(self, events: &[Event], form: Form) -> Vec<Value> {
        let items = events.iter().map(|event| {
            if self.touches(event) { self.event_value(event.clone(), form) } else { payload::event_value(event, form) }
        });
        let items: Vec<_> = items.collect();
        if self == Self::Duplicate { items.iter().chain(&items).cloned().collect() } else { items }
    }

    fn event_value(self, mut event: Event, form: Form) -> Value {
        if self == Self::UnknownType {
            event.event_type = Kind::Unknown.urn();
        }
        if self == Self::RecordTooLarge {
            set(&mut event.biz_data, "description", "x".repeat(TOO_LARGE_FOR_A_RECORD).into());
        }
        if self == Self::MissingEntityId {
            for name in ["userId", "organizationalUnitId", "groupId"] {
                remove(&mut event.biz_data, name);
            }
        }
        let mut item = payload::event_value(&event, form);
        if self == Self::MalformedEvent {
            remove(&mut item, "eventType");
        }
        if self == Self::MissingEventId {
            remove(&mut item, "eventId");
        }
        if self == Self::MissingEntityId {
            // A user event without a user id is still identified by its bizId.
            remove(&mut item, "bizId");
        }
        if self == Self::MalformedData {
            set(&mut item, "bizData", "{\"userId\":".into());
        }
        item
    }

    /// Creates the request for `events` with this fault. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn request(
        self,
        tenant_keys: &TenantKeys,
        events: &[Event],
        form: Form,
        plain: bool,
        now: i64,
    ) -> Result<Request, SigningFault> {
        let callback = Callback::new(tenant_keys, now).form(form).event_values(self.event_values(events, form));
        let callback = if plain { callback.plain() } else { callback };
        let body = self.apply(callback).body()?;
        if self == Self::Compressed {
            return Ok(Request { body: attacks::gzip(body.as_bytes()), encoding: Some("gzip") });
        }
        if self == Self::NotJson {
            return Ok(body.replace('{', "<").replace('}', "/>").into());
        }
        if self == Self::TooLarge {
            // White space after the object is valid JSON, so only the size is wrong.
            return Ok(format!("{body}{}", " ".repeat(TOO_LARGE)).into());
        }
        Ok(body.into())
    }

    fn apply(self, callback: Callback<'_>) -> Callback<'_> {
        match self {
            Self::Expired => callback.expired(),
            Self::NotYetValid => callback.not_yet_valid(),
            Self::WrongKey => callback.wrong_key(),
            Self::UnknownKey => callback.unknown_key(),
            Self::WrongAlgorithm => callback.wrong_algorithm(),
            Self::NoneAlgorithm => callback.none_algorithm(),
            Self::CriticalHeader => callback.header("b64", false).header("crit", json!(["b64"])),
            Self::WrongAudience => callback.wrong_audience(),
            Self::WrongInstance => callback.wrong_instance(),
            Self::WrongIssuer => callback.wrong_issuer(),
            Self::Tampered => callback.tampered(),
            Self::WrongEncryptionKey => callback.wrong_encryption_key(),
            Self::NotEncrypted => callback.plain(),
            Self::Deflated => callback.deflated(),
            Self::Unreadable => callback.raw_payload("{\"instanceId\":7}"),
            Self::Compressed
            | Self::NotJson
            | Self::TooLarge
            | Self::UnknownType
            | Self::MalformedEvent
            | Self::MissingEventId
            | Self::MalformedData
            | Self::MissingEntityId
            | Self::RecordTooLarge
            | Self::Duplicate
            | Self::Redelivery => callback,
        }
    }
}

impl Expected {
    /// The event is published and confirmed.
    pub const SUCCESS: Self = Self::Verdict(List::Success, "SUCCESS");

    /// Returns the answer that the bridge must give to `event`, sent with `fault`, if its configuration skips the
    /// types in `skip`.
    #[must_use]
    pub fn of(event: &Event, fault: Option<Fault>, skip: &[String]) -> Self {
        if event.event_id.is_empty() && fault.is_none() {
            return Self::NoVerdict;
        }
        let expected = fault.filter(|fault| fault.touches(event)).map_or(Self::SUCCESS, Fault::expected);
        let keeps_its_type = fault != Some(Fault::UnknownType);
        if expected == Self::SUCCESS && keeps_its_type && skip.contains(&event.event_type) {
            return Self::Verdict(List::Skipped, "not_subscribed");
        }
        expected
    }
}

fn remove(object: &mut Value, name: &str) {
    if let Value::Object(members) = object {
        members.remove(name);
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
#[path = "tests/fault.rs"]
mod tests;
