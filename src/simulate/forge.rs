//! What an attacker or a broken sender would put in the place of a good signature or good encryption.
//!
//! Only for proving that the bridge refuses it. The honest forms are in [`crate::jose`], which cannot make these.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt_aead};

use crate::jose::jws::{SigningFault, SigningKey};

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
/// inflates it can be made to fill its memory. `None` where the key is not one of 256 bits.
pub(super) fn deflated_jwe(plaintext: &[u8], key_hex: &str) -> Option<String> {
    let key = zeroize::Zeroizing::new(openssl::bn::BigNum::from_hex_str(key_hex).ok()?.to_vec_padded(32).ok()?);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plaintext).ok()?;
    let plaintext = encoder.finish().ok()?;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#);
    let (mut nonce, mut tag) = ([0; 12], [0; 16]);
    openssl::rand::rand_bytes(&mut nonce).ok()?;
    let cipher = Cipher::aes_256_gcm();
    let ciphertext = encrypt_aead(cipher, &key, Some(&nonce), header.as_bytes(), &plaintext, &mut tag).ok()?;
    let (nonce, ciphertext, tag) =
        (URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(ciphertext), URL_SAFE_NO_PAD.encode(tag));
    Some(format!("{header}..{nonce}.{ciphertext}.{tag}"))
}

/// A body compressed with gzip.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into a vector does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
