//! Encrypts as IDaaS does: a compact JWE with direct encryption by AES-GCM (RFC 7516, RFC 7518 §4.5 and §5.3).
//!
//! Does not use the bridge's code, because a mistake there would go unnoticed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, encrypt_aead};
use zeroize::Zeroizing;

/// A content encryption key, as shown in the console. Has no `Debug`.
pub struct ContentKey {
    cipher: Cipher,
    encryption: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

/// The reason why a text is not a content encryption key. Contains nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// The text contains characters other than hexadecimal digits.
    NotHexadecimal,
    /// The number of digits is not 64, 48 or 32.
    WrongLength(usize),
    /// No key can be generated, because the crypto library fails.
    NotGenerated,
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHexadecimal => f.write_str("is not hexadecimal"),
            Self::WrongLength(digits) => {
                write!(f, "has {digits} hex digits; it must have 64 (AES-256), 48 (AES-192) or 32 (AES-128)")
            }
            Self::NotGenerated => f.write_str("cannot be generated: the crypto library fails"),
        }
    }
}

impl std::error::Error for KeyFault {}

impl ContentKey {
    /// Reads a key as the console shows it: 64, 48 or 32 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyFault`] if the text is not such a key.
    pub fn from_hex(text: &str) -> Result<Self, KeyFault> {
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyFault::NotHexadecimal);
        }
        let (cipher, encryption) = match text.len() {
            64 => (Cipher::aes_256_gcm(), "A256GCM"),
            48 => (Cipher::aes_192_gcm(), "A192GCM"),
            32 => (Cipher::aes_128_gcm(), "A128GCM"),
            digits => return Err(KeyFault::WrongLength(digits)),
        };
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes = text.as_bytes().chunks_exact(2).map(byte).collect::<Option<_>>().ok_or(KeyFault::NotHexadecimal)?;
        Ok(Self { cipher, encryption, bytes: Zeroizing::new(bytes) })
    }

    /// Generates a 256-bit key in the form of [`ContentKey::from_hex`].
    ///
    /// # Errors
    /// [`KeyFault::NotGenerated`] if the crypto library fails.
    pub fn generate_hex() -> Result<Zeroizing<String>, KeyFault> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand_bytes(bytes.as_mut_slice()).map_err(|_| KeyFault::NotGenerated)?;
        Ok(hex(bytes.as_slice()))
    }

    /// Returns the key in hexadecimal. A secret.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        hex(&self.bytes)
    }

    /// Encrypts `plaintext` as a compact JWE whose header has exactly `alg` and `enc`, as IDaaS sends it. Returns an
    /// empty text if the crypto library fails.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8]) -> String {
        self.seal_with("", plaintext)
    }

    /// Same as [`ContentKey::seal`], with more header members: `more` starts with a comma.
    pub(super) fn seal_with(&self, more: &str, plaintext: &[u8]) -> String {
        let header = format!(r#"{{"alg":"dir","enc":"{}"{more}}}"#, self.encryption);
        let protected = URL_SAFE_NO_PAD.encode(header);
        let (mut nonce, mut tag) = ([0; 12], [0; 16]);
        let mut seal = || -> Result<Vec<u8>, ErrorStack> {
            rand_bytes(&mut nonce)?;
            encrypt_aead(self.cipher, &self.bytes, Some(&nonce), protected.as_bytes(), plaintext, &mut tag)
        };
        let Ok(ciphertext) = seal() else { return String::new() };
        let [nonce, ciphertext, tag] = [&nonce[..], &ciphertext, &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{protected}..{nonce}.{ciphertext}.{tag}")
    }

    /// Decrypts a JWE that was encrypted with [`ContentKey::seal`]. `None` if it was encrypted with another key.
    #[cfg(any(test, feature = "test-bridge"))]
    pub(super) fn open(&self, compact: &str) -> Option<Vec<u8>> {
        let mut parts = compact.split('.');
        let protected = parts.next()?;
        let mut part = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
        let (_, nonce, ciphertext, tag) = (part()?, part()?, part()?, part()?);
        let aad = protected.as_bytes();
        openssl::symm::decrypt_aead(self.cipher, &self.bytes, Some(&nonce), aad, &ciphertext, &tag).ok()
    }
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_opens_what_it_sealed_alone() {
        for length in [64, 48, 32] {
            let key = ContentKey::from_hex(&"a1".repeat(length / 2)).ok().unwrap();
            assert_eq!(*key.to_hex(), "a1".repeat(length / 2));
            let sealed = key.seal(b"text");
            assert_eq!(key.open(&sealed).unwrap(), b"text");
            assert!(ContentKey::from_hex(&"b2".repeat(length / 2)).ok().unwrap().open(&sealed).is_none());
        }
    }

    #[test]
    fn a_text_that_is_not_a_key_is_refused() {
        assert_eq!(ContentKey::from_hex(&"x".repeat(64)).err(), Some(KeyFault::NotHexadecimal));
        assert_eq!(ContentKey::from_hex("ab").err(), Some(KeyFault::WrongLength(2)));
    }
}
