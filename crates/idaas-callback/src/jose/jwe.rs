//! JWE with direct encryption (RFC 7516, RFC 7518 §4.5 and §5.3): `alg` = `dir`, `enc` = A128GCM, A192GCM or A256GCM.
//!
//! Nothing else is accepted: no other algorithm, no compression (`zip`), no critical extension (`crit`). The
//! algorithm must match the length of the configured key, so a token cannot choose a weaker one.

use std::borrow::Cow;
use std::ops::Range;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{Aead, AeadInOut, Generate, KeyInit, Payload};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, Nonce, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

type Aes192Gcm = AesGcm<Aes192, U12>;

/// A key for direct encryption, with an initialized cipher. Has no `Debug`.
pub struct ContentKey {
    cipher: Cipher,
    id: String,
    /// The input key material for deriving subkeys.
    tenant_keys: Zeroizing<Vec<u8>>,
}

enum Cipher {
    A128(Box<Aes128Gcm>),
    A192(Box<Aes192Gcm>),
    A256(Box<Aes256Gcm>),
}

/// The reason why a text is not a content encryption key. Contains nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// The text contains characters other than hexadecimal digits.
    NotHexadecimal,
    /// The number of digits is not 64, 48 or 32.
    WrongLength(usize),
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHexadecimal => {
                f.write_str("is not hexadecimal; copy the console's \"Encryption Key\": 64 hex digits")
            }
            Self::WrongLength(digits) => {
                write!(f, "has {digits} hex digits; it must have 64 (AES-256), 48 (AES-192) or 32 (AES-128)")
            }
        }
    }
}

impl std::error::Error for KeyFault {}

/// A parsed compact JWE, not yet decrypted. It reuses the memory of the text and is decrypted in place, because a
/// callback can be megabytes long.
pub struct Sealed {
    encryption: Encryption,
    nonce: [u8; 12],
    tag: [u8; 16],
    /// The text, with the decoded ciphertext at `ciphertext` instead of its base64url.
    bytes: Vec<u8>,
    /// The length of the protected header, which is at the start of the text.
    protected: usize,
    ciphertext: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the standard")]
enum Encryption {
    A128Gcm,
    A192Gcm,
    A256Gcm,
}

impl Encryption {
    const fn name(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A192Gcm => "A192GCM",
            Self::A256Gcm => "A256GCM",
        }
    }

    /// Returns the algorithm of a protected header. `None` if the header asks for anything unsupported.
    fn of(protected: &str) -> Option<Self> {
        let header = URL_SAFE_NO_PAD.decode(protected).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        if header.alg != "dir" || header.zip.is_some() || header.crit.is_some() {
            return None;
        }
        [Self::A128Gcm, Self::A192Gcm, Self::A256Gcm].into_iter().find(|encryption| encryption.name() == header.enc)
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    enc: Cow<'a, str>,
    #[serde(default)]
    zip: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl Sealed {
    /// Parses a compact JWE. `None` if it is anything but `dir` with AES-GCM: another algorithm, compression, an
    /// extension, an encrypted key, an initialization vector that does not have 96 bits, or invalid base64url.
    #[must_use]
    pub fn parse(compact: impl Into<String>) -> Option<Self> {
        let compact = compact.into();
        // The encrypted key between the first two dots is empty. A surplus dot is not valid base64url.
        let (protected, rest) = compact.split_once("..")?;
        let (nonce, rest) = rest.split_once('.')?;
        let (ciphertext, tag) = rest.rsplit_once('.')?;
        let encryption = Encryption::of(protected)?;
        let nonce = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?.try_into().ok()?;
        let start = compact.len() - rest.len();
        let (protected, end) = (protected.len(), start + ciphertext.len());
        let mut bytes = compact.into_bytes();
        let length = base64_simd::URL_SAFE_NO_PAD.decode_inplace(bytes.get_mut(start..end)?).ok()?.len();
        Some(Self { encryption, nonce, tag, bytes, protected, ciphertext: start..start + length })
    }
}

impl ContentKey {
    /// Reads a key as the console shows it: 64, 48 or 32 hexadecimal digits, in either case.
    ///
    /// # Errors
    /// [`KeyFault`] if the text is not such a key.
    pub fn from_hex(text: &str) -> Result<Self, KeyFault> {
        let digits = text.as_bytes();
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(KeyFault::NotHexadecimal);
        }
        if !matches!(digits.len(), 64 | 48 | 32) {
            return Err(KeyFault::WrongLength(digits.len()));
        }
        let value = |digit: u8| char::from(digit).to_digit(16).map_or(0, |value| value as u8);
        let mut bytes = Zeroizing::new(Vec::with_capacity(32));
        for pair in digits.chunks_exact(2) {
            if let [high, low] = pair {
                bytes.push(value(*high) << 4 | value(*low));
            }
        }
        Self::from_bytes(&bytes).ok_or(KeyFault::WrongLength(digits.len()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let cipher = match bytes.len() {
            16 => Cipher::A128(Box::new(Aes128Gcm::new_from_slice(bytes).ok()?)),
            24 => Cipher::A192(Box::new(Aes192Gcm::new_from_slice(bytes).ok()?)),
            32 => Cipher::A256(Box::new(Aes256Gcm::new_from_slice(bytes).ok()?)),
            _ => return None,
        };
        let id = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { cipher, id, tenant_keys: Zeroizing::new(bytes.to_vec()) })
    }

    /// Generates a 256-bit key in the form of [`ContentKey::from_hex`], for the simulator's files.
    #[must_use]
    pub fn generate_hex() -> Zeroizing<String> {
        let bytes = Zeroizing::new(<[u8; 32]>::generate());
        Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the first 16 hex digits of the key's SHA-256, which identify the key without revealing it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the key itself, for deriving other keys.
    pub(super) fn tenant_keys(&self) -> &[u8] {
        &self.tenant_keys
    }

    /// Decrypts a JWE.
    ///
    /// # Errors
    /// Returns the JWE unchanged if it was encrypted with another key, or if its algorithm requires another key
    /// length.
    pub fn open(&self, mut sealed: Sealed) -> Result<Vec<u8>, Sealed> {
        if self.encryption() != sealed.encryption || !self.decrypt(&mut sealed) {
            return Err(sealed);
        }
        let Sealed { mut bytes, ciphertext, .. } = sealed;
        bytes.truncate(ciphertext.end);
        bytes.drain(..ciphertext.start);
        Ok(bytes)
    }

    /// Decrypts in place. The tag is checked first, so the bytes are unchanged if it does not match.
    fn decrypt(&self, sealed: &mut Sealed) -> bool {
        let Sealed { nonce, tag, bytes, protected, ciphertext, .. } = sealed;
        let (head, rest) = bytes.split_at_mut(ciphertext.start);
        let (Some(aad), Some(buffer)) = (head.get(..*protected), rest.get_mut(..ciphertext.len())) else {
            return false;
        };
        let (nonce, tag, buffer) = (Nonce::<U12>::from(*nonce), Tag::from(*tag), InOutBuf::from(buffer));
        match &self.cipher {
            Cipher::A128(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer, &tag),
            Cipher::A192(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer, &tag),
            Cipher::A256(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer, &tag),
        }
        .is_ok()
    }

    /// Encrypts `plaintext` as a compact JWE whose header has exactly `alg` and `enc`, as IDaaS sends it.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8]) -> String {
        self.seal_with_header(plaintext, &format!(r#"{{"alg":"dir","enc":"{}"}}"#, self.encryption().name()))
    }

    /// Encrypts `plaintext` as a compact JWE with [`ContentKey::id`] as `kid`, for readers that hold several keys.
    #[must_use]
    pub fn seal_named(&self, plaintext: &[u8]) -> String {
        let (enc, kid) = (self.encryption().name(), self.id());
        self.seal_with_header(plaintext, &format!(r#"{{"alg":"dir","enc":"{enc}","kid":"{kid}"}}"#))
    }

    fn seal_with_header(&self, plaintext: &[u8], header: &str) -> String {
        let protected = URL_SAFE_NO_PAD.encode(header);
        let nonce = Nonce::<U12>::generate();
        let payload = Payload { msg: plaintext, aad: protected.as_bytes() };
        let sealed = match &self.cipher {
            Cipher::A128(cipher) => cipher.encrypt(&nonce, payload),
            Cipher::A192(cipher) => cipher.encrypt(&nonce, payload),
            Cipher::A256(cipher) => cipher.encrypt(&nonce, payload),
        }
        // AES-GCM fails only above 64 GiB of plaintext; the body limit is far lower.
        .unwrap_or_default();
        let (ciphertext, tag) = sealed.split_at(sealed.len().saturating_sub(16));
        let (nonce, ciphertext, tag) =
            (URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(ciphertext), URL_SAFE_NO_PAD.encode(tag));
        format!("{protected}..{nonce}.{ciphertext}.{tag}")
    }

    const fn encryption(&self) -> Encryption {
        match self.cipher {
            Cipher::A128(_) => Encryption::A128Gcm,
            Cipher::A192(_) => Encryption::A192Gcm,
            Cipher::A256(_) => Encryption::A256Gcm,
        }
    }
}
