//! Authentic callbacks that cannot be decrypted or read yet: what is stored, and how processing resumes.

use super::authenticate::{Content, Verified};
use super::policy::Policy;
use super::{Prepared, RequestContext, authenticate, decode, decrypt, normalize};
use crate::Refusal;
use crate::jose::jws::KeySet;

/// An authentic callback, stored until a key or a version can read it. Create it with [`to_quarantine`], or from
/// storage that detects changes. Has no `Debug`, because it can contain unencrypted personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantinedCallback {
    /// The IDaaS instance that sent it.
    pub instance_id: String,
    /// The id of the application that it is for. `None` if an earlier version stored it.
    pub application_id: Option<String>,
    /// The content of its token.
    pub content: QuarantinedContent,
}

/// The content of a quarantined callback.
#[derive(Clone, PartialEq, Eq)]
pub enum QuarantinedContent {
    /// A compact JWE that no key decrypts, or whose text is not UTF-8.
    Encrypted(String),
    /// Text that is not a list of events.
    Plain(String),
}

impl QuarantinedCallback {
    /// Returns the callback as it was authenticated when it arrived.
    #[must_use]
    pub fn verified(self) -> Verified {
        let Self { instance_id, application_id: _, content } = self;
        let content = match content {
            QuarantinedContent::Encrypted(compact) => Content::Encrypted(compact),
            QuarantinedContent::Plain(text) => Content::Plain(text),
        };
        Verified { instance_id, content }
    }
}

/// Returns the part to store of a callback that [`super::prepare`] refused as undecryptable or unreadable.
/// Authenticates the callback again: this is rare, and no stage has to return the token's content with an error.
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
    Some(QuarantinedCallback { instance_id, application_id: Some(policy.application_id.clone()), content })
}

/// Resumes processing of a quarantined callback, starting with its decryption. `request` is that of the original
/// delivery.
///
/// # Errors
/// [`Refusal::WrongAudience`] if the callback is for another application, [`Refusal::Undecryptable`] or
/// [`Refusal::Unreadable`] if it still cannot be read.
pub fn from_quarantine(
    quarantined: QuarantinedCallback,
    policy: &Policy,
    request: RequestContext<'_>,
) -> Result<Prepared, Refusal> {
    if quarantined.application_id.as_ref().is_some_and(|id| *id != policy.application_id) {
        return Err(Refusal::WrongAudience);
    }
    let callback = decode(decrypt(quarantined.verified(), policy)?, policy)?;
    let events = normalize(&callback, policy, request)?;
    Ok(Prepared { events, decryption_key: callback.key })
}
