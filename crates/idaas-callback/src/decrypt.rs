//! From a verified callback to its text in the clear.
//!
//! The keys are tried in the order of the configuration, because IDaaS names none: that is what makes a change of the
//! key harmless.

use super::authenticate::{Content, Verified};
use super::policy::Policy;
use crate::jose::jwe::Sealed;
use crate::refusal::Refusal;

/// What an authentic callback says, readable. Only [`decrypt`] makes one. Has no `Debug`: it holds personal data.
pub struct Plaintext {
    pub(super) instance_id: String,
    pub(super) text: String,
    /// The position of the key that opened it; `None` where it was not encrypted.
    pub(super) key: Option<usize>,
}

impl Plaintext {
    /// What was inside. Holds personal data, and perhaps passwords.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The position of the key that opened it; `None` where it was not encrypted.
    #[must_use]
    pub const fn key(&self) -> Option<usize> {
        self.key
    }
}

/// Opens a verified callback.
///
/// # Errors
/// [`Refusal::Undecryptable`] where no key opens it or there is nothing to open, [`Refusal::Unreadable`] where what
/// was inside is not text.
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
