//! Forged signatures and malicious encryption, to test that the bridge rejects them.
//!
//! The valid forms are in [`crate::signing`] and [`crate::encryption`], which cannot produce these.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::encryption::ContentKey;
use crate::signing::{SigningFault, SigningKey};

/// Signs with HMAC-SHA256 and the *public* key as its secret: the classic attack on a receiver that lets the token
/// choose the algorithm.
pub(super) fn hmac_with_public_key(key: &SigningKey, input: &[u8]) -> Result<Vec<u8>, SigningFault> {
    let sign = || -> Result<Vec<u8>, ErrorStack> {
        let public = PKey::private_key_from_pem(&key.to_pem())?.public_key_to_pem()?;
        let secret = PKey::hmac(&public)?;
        Signer::new(MessageDigest::sha256(), &secret)?.sign_oneshot_to_vec(input)
    };
    sign().map_err(|_| SigningFault)
}

/// Creates a compact JWE with a compressed plaintext and the header `zip` (RFC 7516 §4.1.3). A receiver that
/// decompresses it can be made to exhaust its memory. `None` if it cannot be created.
pub(super) fn deflated_jwe(plaintext: &[u8], key: &ContentKey) -> Option<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plaintext).ok()?;
    Some(key.seal_with(r#","zip":"DEF""#, &encoder.finish().ok()?))
}

/// Compresses a body with gzip.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
