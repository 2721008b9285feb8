//! The ways of a callback to be wrong that have a name: what tests and the simulator's faults ask for.

use super::{Callback, Encryption, LIFETIME, Signature};

impl Callback<'_> {
    /// Encrypts with a key that the bridge does not have.
    pub fn wrong_encryption_key(mut self) -> Self {
        self.encryption = Encryption::SealedByAnother;
        self
    }

    /// Compresses before it encrypts (`zip`), which IDaaS never does.
    pub fn deflated(mut self) -> Self {
        self.encryption = Encryption::Deflated;
        self
    }

    /// Dates the token an hour back, so that it expired half an hour ago.
    pub const fn expired(mut self) -> Self {
        self.issued_at -= 2 * LIFETIME;
        self
    }

    /// Dates the token an hour ahead.
    pub const fn not_yet_valid(mut self) -> Self {
        self.issued_at += 2 * LIFETIME;
        self
    }

    /// Signs with another key under the id of the real one.
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

    /// Does not sign, and says `alg: none`.
    pub fn none_algorithm(mut self) -> Self {
        self.signature = Signature::Missing;
        self.header("alg", "none")
    }

    /// Speaks to another application.
    pub fn wrong_audience(self) -> Self {
        self.claim("aud", "app_somebodyelsesapplication0")
    }

    /// Comes from another instance.
    pub fn wrong_instance(self) -> Self {
        self.claim("sub", "idaas_somebodyelsesinstance00")
    }

    /// Comes from another issuer.
    pub fn wrong_issuer(self) -> Self {
        self.claim("iss", "urn:alibaba:idaas:app:login")
    }

    /// Changes a claim after the token was signed.
    pub const fn tampered(mut self) -> Self {
        self.signature = Signature::OfOtherClaims;
        self
    }
}
