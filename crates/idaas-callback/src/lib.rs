#![doc = include_str!("../README.md")]

mod authenticate;
mod cleared;
mod decode;
mod decrypt;
mod event;
pub mod event_type;
pub mod fetched;
mod field;
pub mod headers;
pub mod jose;
pub mod json;
mod normalize;
pub mod policy;
mod quarantined;
pub mod record;
mod redact;
mod refusal;
pub mod timestamp;
mod value;

pub use authenticate::{ISSUER, Verified, authenticate};
pub use decode::{Callback, decode};
pub use decrypt::{Plaintext, decrypt};
pub use fetched::{FetchedEntity, prepare_fetched};
pub use field::Drift;
pub use normalize::{
    DeadLetterSource, Disposition, EventId, PreparedEvent, Reason, RequestContext, StoredOriginal, normalize,
};
pub use quarantined::{QuarantinedCallback, QuarantinedContent, from_quarantine, to_quarantine};

pub use refusal::Refusal;

use jose::jws::KeySet;
use policy::Policy;

/// The decoded events of an authentic callback, ready to be published.
pub struct Prepared {
    /// One item per event, in the order of the callback.
    pub events: Vec<PreparedEvent>,
    /// The position of the decryption key that decrypted it. `None` if it was not encrypted.
    pub decryption_key: Option<usize>,
}

/// As [`prepare`], without an observer of its stages.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_without_observer(
    body: &[u8],
    keys: &KeySet,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Result<Prepared, Refusal> {
    prepare(body, keys, policy, request, |_| ())
}

/// A stage of [`prepare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Checking the signature and the claims of the token.
    Authenticate,
    /// Decrypting the content of the token.
    Decrypt,
    /// Decoding the list of events.
    Decode,
    /// Creating the records of the events.
    Normalize,
}

impl Stage {
    /// Returns the stage's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Authenticates, decrypts, decodes and normalizes a callback. Calls `begins` with each stage before it begins.
///
/// # Errors
/// The [`Refusal`] of the stage that was begun last. Nothing of the callback may be used then.
pub fn prepare(
    body: &[u8],
    keys: &KeySet,
    policy: &Policy,
    request: RequestContext<'_>,
    mut begins: impl FnMut(Stage),
) -> Result<Prepared, Refusal> {
    begins(Stage::Authenticate);
    let verified = authenticate(body, keys, policy, request.received_at.div_euclid(1000))?;
    begins(Stage::Decrypt);
    let plaintext = decrypt(verified, policy)?;
    begins(Stage::Decode);
    let callback = decode(plaintext, policy)?;
    begins(Stage::Normalize);
    let events = normalize(&callback, policy, request)?;
    Ok(Prepared { events, decryption_key: callback.key })
}
