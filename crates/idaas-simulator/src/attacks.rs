//! What an attacker or a broken sender would put in the place of a good signature or good encryption.
//!
//! Only for proving that the bridge refuses it. The honest forms are in [`crate::signing`] and [`crate::encryption`], which cannot make these.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::encryption::ContentKey;
use crate::signing::{SigningFault, SigningKey};

/// The classic attack on a receiver that lets the token choose: HMAC-SHA256 with the *public* key as its secret.
pub(super) fn hmac_with_public_key(key: &SigningKey, input: &[u8]) -> Result<Vec<u8>, SigningFault> {
    let sign = || -> Result<Vec<u8>, ErrorStack> {
        let public = PKey::private_key_from_pem(&key.to_pem())?.public_key_to_pem()?;
        let secret = PKey::hmac(&public)?;
        Signer::new(MessageDigest::sha256(), &secret)?.sign_oneshot_to_vec(input)
    };
    sign().map_err(|_| SigningFault)
}

/// A compact JWE whose plaintext is compressed and whose header says so (`zip`, RFC 7516 §4.1.3): a receiver that
/// inflates it can be made to fill its memory. `None` if it cannot be made.
pub(super) fn deflated_jwe(plaintext: &[u8], key: &ContentKey) -> Option<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plaintext).ok()?;
    Some(key.seal_with(r#","zip":"DEF""#, &encoder.finish().ok()?))
}

/// A body compressed with gzip.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into a vector does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
