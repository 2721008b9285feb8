//! Verifies RS256 signatures (RFC 7518 §3.3) with one public key, reusing OpenSSL contexts.
//!
//! Creating a context for each signature, as JOSE libraries do, adds a quarter to the cost of a verification. The
//! algorithm is fixed here and must never be a parameter.

use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::{PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::sha::Sha256;
use parking_lot::Mutex;

/// A public key that is ready to verify.
pub(super) struct Verifier {
    key: PKey<Public>,
    /// Unused contexts: as many as threads have ever verified at once.
    idle: Mutex<Vec<PkeyCtx<Public>>>,
}

impl Verifier {
    /// Creates a verifier from modulus and exponent in base64url (RFC 7518 §6.3.1). `None` if they do not form a key.
    pub(super) fn of(modulus: &str, exponent: &str) -> Option<Self> {
        let number = |digits| BigNum::from_slice(&base64_simd::URL_SAFE_NO_PAD.decode_to_vec(digits).ok()?).ok();
        let rsa = Rsa::from_public_components(number(modulus)?, number(exponent)?).ok()?;
        let verifier = Self { key: PKey::from_rsa(rsa).ok()?, idle: Mutex::new(Vec::new()) };
        let context = verifier.context().ok()?;
        verifier.idle.lock().push(context);
        Some(verifier)
    }

    /// Returns the length of the modulus in bits.
    pub(super) fn bits(&self) -> u32 {
        self.key.bits()
    }

    /// Returns true if `signature` over `input` was made with the matching private key.
    pub(super) fn verify(&self, input: &[u8], signature: &[u8]) -> bool {
        let idle = self.idle.lock().pop();
        let Some(mut context) = idle.or_else(|| self.context().ok()) else { return false };
        // Not `sha256`, which looks up the algorithm on each call. That costs as much as hashing a callback.
        let mut digest = Sha256::new();
        digest.update(input);
        let good = context.verify(&digest.finish(), signature);
        // The state of a context is undefined after an error, so it is not reused.
        if good.is_ok() {
            self.idle.lock().push(context);
        }
        good.unwrap_or(false)
    }

    fn context(&self) -> Result<PkeyCtx<Public>, ErrorStack> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        context.set_rsa_padding(Padding::PKCS1)?;
        context.set_signature_md(Md::sha256())?;
        Ok(context)
    }
}
