//! Encrypts what the bridge stores on disk: AES-256-GCM in a compact binary format, bound to a storage place.
//!
//! Data for other readers uses [`super::jwe`] instead. The format of a sealed text is `version (1) · key id (8) ·
//! salt (16) · nonce (12) · ciphertext · tag (16)`.
//!
//! Nonces are random, so one key must not seal more than 2^32 texts (NIST SP 800-38D §8.3). Beyond that, two texts
//! could have the same nonce, which reveals the key stream. A journal that runs for years with one configured key
//! could reach this limit. Therefore texts are sealed with a key derived from the configured key and a random salt
//! (HKDF, RFC 5869). A new key is derived at each start, and before the limit is reached. A counter as nonce would
//! need no limit, but a machine restored from a snapshot would use the same numbers twice.

use std::collections::HashMap;
use std::sync::Arc;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, Generate, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::jwe::ContentKey;

/// The format version that this build writes.
const VERSION: u8 = 1;

/// The purpose of derived keys (RFC 5869 §3.2), so that the same configured key yields a different key for any other
/// use.
const HKDF_INFO: &[u8] = b"idaas-bridge journal seal, version 1";

/// The number of texts that one derived key seals. Far below 2^32.
const TEXTS_PER_KEY: u64 = 1 << 31;

/// The number of derived keys that an [`Opener`] caches.
const MAX_CACHED_KEYS: usize = 256;

const NONCE: usize = 12;
const TAG: usize = 16;

/// The number of bytes that sealing adds to a text.
pub const OVERHEAD: usize = 1 + 8 + 16 + NONCE + TAG;

type Salt = [u8; 16];

/// The id of the configured key that sealed a text: the first 8 bytes of its SHA-256, which do not reveal the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Returns the id of a configured key.
    #[must_use]
    pub fn of(key: &ContentKey) -> Self {
        let mut bytes = [0; 8];
        for (position, byte) in bytes.iter_mut().enumerate() {
            let digits = key.id().get(position * 2..position * 2 + 2);
            *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or_default();
        }
        Self(bytes)
    }

    /// Returns the id of the key that sealed a text, without decrypting or authenticating it. `None` if the text is
    /// not sealed.
    #[must_use]
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        SealedParts::of(sealed).ok().map(|parts| parts.id)
    }
}

/// 16 hex digits, the same as [`ContentKey::id`].
impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The reason why a text cannot be opened. Contains nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealFault {
    /// No configured key has this id.
    UnknownKey(KeyId),
    /// The text is not sealed, was changed, or belongs to another place.
    Damaged,
    /// The text was sealed by a newer build, with this format version.
    Newer(u8),
}

/// Seals with one key.
pub struct Sealer {
    key: Arc<ContentKey>,
    id: KeyId,
    salt: Salt,
    cipher: Box<Aes256Gcm>,
    sealed: u64,
}

impl Sealer {
    /// Creates a sealer that derives its keys from `key`.
    #[must_use]
    pub fn new(key: Arc<ContentKey>) -> Self {
        let (id, salt) = (KeyId::of(&key), Salt::generate());
        let cipher = Box::new(derive_cipher(&key, &salt));
        Self { key, id, salt, cipher, sealed: 0 }
    }

    /// Seals `plaintext` and appends it to `output`. It can only be opened with the same `associated_data`, so a sealed
    /// text that was moved is rejected.
    pub fn seal(&mut self, associated_data: &[u8], plaintext: &[u8], output: &mut Vec<u8>) {
        if self.sealed >= TEXTS_PER_KEY {
            *self = Self::new(Arc::clone(&self.key));
        }
        self.sealed += 1;
        let nonce = Nonce::<U12>::generate();
        output.reserve(plaintext.len() + OVERHEAD);
        output.push(VERSION);
        output.extend_from_slice(&self.id.0);
        output.extend_from_slice(&self.salt);
        output.extend_from_slice(&nonce);
        let from = output.len();
        output.extend_from_slice(plaintext);
        let text = output.get_mut(from..).unwrap_or_default();
        // AES-GCM does not fail below 64 GiB.
        let tag = self.cipher.encrypt_inout_detached(&nonce, associated_data, text.into()).unwrap_or_default();
        output.extend_from_slice(&tag);
    }
}

/// Opens texts that were sealed with any of several keys.
pub struct Opener {
    keys: Vec<(KeyId, Arc<ContentKey>)>,
    derived: HashMap<(KeyId, Salt), Box<Aes256Gcm>>,
}

impl Opener {
    /// Creates an opener for these keys.
    #[must_use]
    pub fn new(keys: &[Arc<ContentKey>]) -> Self {
        let keys = keys.iter().map(|key| (KeyId::of(key), Arc::clone(key))).collect();
        Self { keys, derived: HashMap::new() }
    }

    /// Opens a text that was sealed for `associated_data`.
    ///
    /// # Errors
    /// [`SealFault`] if the text cannot be opened.
    pub fn open(&mut self, associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealFault> {
        let SealedParts { id, salt, nonce, text, tag } = SealedParts::of(sealed)?;
        let cipher = self.cipher(id, salt).ok_or(SealFault::UnknownKey(id))?;
        let mut text = text.to_vec();
        cipher
            .decrypt_inout_detached(
                &Nonce::<U12>::from(nonce),
                associated_data,
                text.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| SealFault::Damaged)?;
        Ok(text)
    }

    fn cipher(&mut self, id: KeyId, salt: Salt) -> Option<&Aes256Gcm> {
        let key = self.keys.iter().find_map(|(known, key)| (*known == id).then_some(key))?;
        if self.derived.len() >= MAX_CACHED_KEYS && !self.derived.contains_key(&(id, salt)) {
            self.derived.clear();
        }
        Some(self.derived.entry((id, salt)).or_insert_with(|| Box::new(derive_cipher(key, &salt))))
    }
}

/// The parts of a sealed text.
struct SealedParts<'a> {
    id: KeyId,
    salt: Salt,
    nonce: [u8; NONCE],
    text: &'a [u8],
    tag: [u8; TAG],
}

impl<'a> SealedParts<'a> {
    fn of(sealed: &'a [u8]) -> Result<Self, SealFault> {
        let (version, rest) = sealed.split_first().ok_or(SealFault::Damaged)?;
        match *version {
            VERSION => {}
            newer if newer > VERSION => return Err(SealFault::Newer(newer)),
            _ => return Err(SealFault::Damaged),
        }
        Self::split(rest).ok_or(SealFault::Damaged)
    }

    fn split(rest: &'a [u8]) -> Option<Self> {
        let (id, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (text, tag) = rest.split_last_chunk()?;
        Some(Self { id: KeyId(*id), salt: *salt, nonce: *nonce, text, tag: *tag })
    }
}

fn derive_cipher(key: &ContentKey, salt: &Salt) -> Aes256Gcm {
    let mut bytes = Zeroizing::new([0; 32]);
    // HKDF-SHA256 does not fail below 8160 bytes.
    let _ = Hkdf::<Sha256>::new(Some(salt), key.tenant_keys()).expand(HKDF_INFO, bytes.as_mut_slice());
    Aes256Gcm::new(&(*bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> Arc<ContentKey> {
        Arc::new(ContentKey::from_hex(&digit.repeat(64)).unwrap())
    }

    fn sealed(key: &Arc<ContentKey>, associated_data: &[u8], text: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        Sealer::new(Arc::clone(key)).seal(associated_data, text, &mut output);
        output
    }

    #[test]
    fn what_is_sealed_can_be_opened_and_shows_nothing() {
        let (key, text) = (key("a"), b"zhangsan and his telephone".as_slice());
        let sealed = sealed(&key, b"here", text);
        assert_eq!(sealed.len(), text.len() + OVERHEAD);
        assert!(!sealed.windows(8).any(|window| window == b"zhangsan"));
        assert_eq!(Opener::new(&[key]).open(b"here", &sealed).unwrap(), text);
    }

    #[test]
    fn a_text_opens_at_its_own_place_only() {
        let key = key("a");
        let sealed = sealed(&key, b"entry 1", b"text");
        assert_eq!(Opener::new(&[key]).open(b"entry 2", &sealed), Err(SealFault::Damaged));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let key = key("a");
        let whole = sealed(&key, b"here", b"text");
        let mut opener = Opener::new(&[key]);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(b"here", &changed).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(opener.open(b"here", &whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (key("a"), key("b"));
        let sealed = sealed(&old, b"here", b"text");
        assert_eq!(Opener::new(&[Arc::clone(&new), Arc::clone(&old)]).open(b"here", &sealed).unwrap(), b"text");
        let fault = Opener::new(&[new]).open(b"here", &sealed).unwrap_err();
        assert_eq!(fault, SealFault::UnknownKey(KeyId::of(&old)));
        let SealFault::UnknownKey(id) = fault else { unreachable!() };
        assert_eq!(id.to_string(), old.id());
    }

    #[test]
    fn a_text_of_a_newer_build_is_said_to_be_one() {
        let key = key("a");
        let mut sealed = sealed(&key, b"here", b"text");
        sealed[0] = 2;
        assert_eq!(Opener::new(&[key]).open(b"here", &sealed), Err(SealFault::Newer(2)));
    }

    #[test]
    fn each_start_and_each_exhausted_key_derives_a_new_key() {
        let key = key("a");
        let mut sealer = Sealer::new(Arc::clone(&key));
        assert_ne!(sealer.salt, Sealer::new(Arc::clone(&key)).salt);
        let before = sealer.salt;
        sealer.sealed = TEXTS_PER_KEY;
        let mut output = Vec::new();
        sealer.seal(b"here", b"text", &mut output);
        assert_ne!(sealer.salt, before);
        assert_eq!(Opener::new(&[key]).open(b"here", &output).unwrap(), b"text");
    }
}
