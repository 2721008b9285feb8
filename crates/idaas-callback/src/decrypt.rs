//! Decrypts an authenticated callback.
//!
//! IDaaS does not name the key, so all keys are tried in the order of the configuration. This allows a key to be
//! replaced without downtime.

use super::authenticate::{Content, Verified};
use super::policy::Policy;
use crate::jose::jwe::Sealed;
use crate::refusal::Refusal;

/// The decrypted text of an authentic callback. Created only by [`decrypt`]. Has no `Debug`, because it contains
/// personal data.
pub struct Plaintext {
    pub(super) instance_id: String,
    pub(super) text: String,
    /// The position of the key that decrypted it. `None` if it was not encrypted.
    pub(super) key: Option<usize>,
}

impl Plaintext {
    /// Returns the decrypted text. It contains personal data, and possibly passwords.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the position of the key that decrypted it. `None` if it was not encrypted.
    #[must_use]
    pub const fn key(&self) -> Option<usize> {
        self.key
    }
}

/// Decrypts an authenticated callback. Returns unencrypted content unchanged.
///
/// # Errors
/// [`Refusal::Undecryptable`] if no key decrypts it or the JWE is malformed, [`Refusal::Unreadable`] if the decrypted
/// bytes are not UTF-8.
pub fn decrypt(verified: Verified, policy: &Policy) -> Result<Plaintext, Refusal> {
    let Verified { instance_id, content } = verified;
    let compact = match content {
        Content::Plain(text) => return Ok(Plaintext { instance_id, text, key: None }),
        Content::Encrypted(compact) => compact,
    };
    let mut sealed = Sealed::parse(compact).ok_or(Refusal::Undecryptable)?;
    for (position, key) in policy.decryption_keys.iter().enumerate() {
        match key.open(sealed) {
            Ok(opened) => {
                let text = String::from_utf8(opened).map_err(|_| Refusal::Unreadable)?;
                return Ok(Plaintext { instance_id, text, key: Some(position) });
            }
            Err(unopened) => sealed = unopened,
        }
    }
    Err(Refusal::Undecryptable)
}
