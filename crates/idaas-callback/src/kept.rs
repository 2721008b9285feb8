//! Callbacks that are authentic and cannot be read yet: what is kept of one, and how it goes on later.

use super::authenticate::{Content, Verified};
use super::policy::Policy;
use super::{Moment, Prepared, authenticate, decode, decrypt, normalize};
use crate::Refusal;
use crate::jose::jws::KeySet;

/// An authentic callback, kept for a key or a version that can read it. Made by [`keep`], or by whoever has kept it and
/// can prove that it is unchanged. Has no `Debug`: it can hold personal data in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptCallback {
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// What it carried.
    pub content: KeptContent,
}

/// What a kept callback carried.
#[derive(Clone, PartialEq, Eq)]
pub enum KeptContent {
    /// A compact JWE that no key opens, or whose text is no Unicode.
    Encrypted(String),
    /// Text that is no list of events.
    Plain(String),
}

impl KeptCallback {
    /// The callback as it was verified when it arrived.
    #[must_use]
    pub(crate) fn verified(self) -> Verified {
        let Self { instance_id, content } = self;
        let content = match content {
            KeptContent::Encrypted(compact) => Content::Encrypted(compact),
            KeptContent::Plain(text) => Content::Plain(text),
        };
        Verified { instance_id, content }
    }
}

/// What is to be kept of a callback that [`super::prepare`] refused as undecryptable or unreadable. Authenticates it once
/// more: it is rare, and so everything else need not carry along what only this needs.
#[must_use]
pub fn keep(body: &[u8], keys: &KeySet, policy: &Policy, moment: Moment<'_>) -> Option<KeptCallback> {
    let verify = || authenticate(body, keys, policy, moment.received_at.div_euclid(1000)).ok();
    let Verified { instance_id, content } = verify()?;
    let content = match content {
        Content::Plain(text) => KeptContent::Plain(text),
        Content::Encrypted(compact) => match decrypt(verify()?, policy) {
            // The key that opened it may be gone when somebody can read it.
            Ok(plaintext) => KeptContent::Plain(plaintext.text),
            Err(_) => KeptContent::Encrypted(compact),
        },
    };
    Some(KeptCallback { instance_id, content })
}

/// Goes on with a kept callback, from its decryption. `moment` is that of its acceptance.
///
/// # Errors
/// [`Refusal::Undecryptable`] or [`Refusal::Unreadable`], while nothing has changed that would help.
pub fn resume(kept: KeptCallback, policy: &Policy, moment: Moment<'_>) -> Result<Prepared, Refusal> {
    let callback = decode(decrypt(kept.verified(), policy)?, policy)?;
    let items = normalize(&callback, policy, moment)?;
    Ok(Prepared { items, decryption_key: callback.key })
}
