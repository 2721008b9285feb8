//! The named faults of a callback, for tests and for the simulator's faults.

use super::{Callback, Encryption, LIFETIME, Signature};

impl Callback<'_> {
    /// Encrypts with a key that the bridge does not have.
    pub fn wrong_encryption_key(mut self) -> Self {
        self.encryption = Encryption::SealedByAnother;
        self
    }

    /// Compresses the plaintext before encryption (`zip`), which IDaaS never does.
    pub fn deflated(mut self) -> Self {
        self.encryption = Encryption::Deflated;
        self
    }

    /// Sets the issue time to an hour ago, so that the token expired half an hour ago.
    pub const fn expired(mut self) -> Self {
        self.issued_at -= 2 * LIFETIME;
        self
    }

    /// Sets the issue time to an hour from now.
    pub const fn not_yet_valid(mut self) -> Self {
        self.issued_at += 2 * LIFETIME;
        self
    }

    /// Signs with another key, with the id of the real one.
    pub const fn wrong_key(mut self) -> Self {
        self.signature = Signature::ByAnotherKey;
        self
    }

    /// Names a key that was never published.
    pub fn unknown_key(self) -> Self {
        self.header("kid", "KEYthatwasneverpublished")
    }

    /// Signs with HS256 and the public key as the secret.
    pub fn wrong_algorithm(mut self) -> Self {
        self.signature = Signature::Hmac;
        self.header("alg", "HS256")
    }

    /// Does not sign, and sets `alg: none`.
    pub fn none_algorithm(mut self) -> Self {
        self.signature = Signature::Missing;
        self.header("alg", "none")
    }

    /// Addresses another application.
    pub fn wrong_audience(self) -> Self {
        self.claim("aud", "app_somebodyelsesapplication0")
    }

    /// Names another instance.
    pub fn wrong_instance(self) -> Self {
        self.claim("sub", "idaas_somebodyelsesinstance00")
    }

    /// Names another issuer.
    pub fn wrong_issuer(self) -> Self {
        self.claim("iss", "urn:alibaba:idaas:app:login")
    }

    /// Changes a claim after the token was signed.
    pub const fn tampered(mut self) -> Self {
        self.signature = Signature::OfOtherClaims;
        self
    }
}
