//! Callbacks that are authentic and cannot be read yet: what is kept of one, and how it goes on later.

use super::authenticate::{Content, Verified};
use super::policy::Policy;
use super::{Prepared, RequestContext, authenticate, decode, decrypt, normalize};
use crate::Refusal;
use crate::jose::jws::KeySet;

/// An authentic callback, kept for a key or a version that can read it. Made by [`to_quarantine`], or by whoever has kept it and
/// can prove that it is unchanged. Has no `Debug`: it can hold personal data in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantinedCallback {
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// What it carried.
    pub content: QuarantinedContent,
}

/// What a kept callback carried.
#[derive(Clone, PartialEq, Eq)]
pub enum QuarantinedContent {
    /// A compact JWE that no key opens, or whose text is no Unicode.
    Encrypted(String),
    /// Text that is not a list of events.
    Plain(String),
}

impl QuarantinedCallback {
    /// The callback as it was verified when it arrived.
    #[must_use]
    pub fn verified(self) -> Verified {
        let Self { instance_id, content } = self;
        let content = match content {
            QuarantinedContent::Encrypted(compact) => Content::Encrypted(compact),
            QuarantinedContent::Plain(text) => Content::Plain(text),
        };
        Verified { instance_id, content }
    }
}

/// The part to keep of a callback that [`super::prepare`] refused as undecryptable or unreadable. Authenticates it once
/// more: it is rare, and so everything else need not carry along what only this needs.
#[must_use]
pub fn to_quarantine(
    body: &[u8],
    keys: &KeySet,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Option<QuarantinedCallback> {
    let verify = || authenticate(body, keys, policy, request.received_at.div_euclid(1000)).ok();
    let Verified { instance_id, content } = verify()?;
    let content = match content {
        Content::Plain(text) => QuarantinedContent::Plain(text),
        Content::Encrypted(compact) => match decrypt(verify()?, policy) {
            // The key that opened it may be gone when it can be read.
            Ok(plaintext) => QuarantinedContent::Plain(plaintext.text),
            Err(_) => QuarantinedContent::Encrypted(compact),
        },
    };
    Some(QuarantinedCallback { instance_id, content })
}

/// Goes on with a kept callback, from its decryption. `moment` is that of its acceptance.
///
/// # Errors
/// [`Refusal::Undecryptable`] or [`Refusal::Unreadable`], while nothing has changed that would help.
pub fn from_quarantine(
    kept: QuarantinedCallback,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Result<Prepared, Refusal> {
    let callback = decode(decrypt(kept.verified(), policy)?, policy)?;
    let events = normalize(&callback, policy, request)?;
    Ok(Prepared { events, decryption_key: callback.key })
}
