//! Signs as IDaaS does: JWS with RS256 (RFC 7515, RFC 7518 §3.3), and the public key as a key set (RFC 7517).

use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jws::alg::rsassa::RsassaJwsSigner;
use josekit::jws::{JwsSigner, RS256};

/// A private key that signs as IDaaS does.
pub struct SigningKey {
    pair: RsaKeyPair,
    signer: RsassaJwsSigner,
    key_id: String,
}

/// A signing key cannot be generated, read or used. Contains nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningFault;

impl std::fmt::Display for SigningFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the signing key is not a PEM-encoded RSA private key of 2048 bits or more")
    }
}

impl std::error::Error for SigningFault {}

impl SigningKey {
    /// Generates a 2048-bit RSA key, the size that IDaaS uses.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn generate(key_id: &str) -> Result<Self, SigningFault> {
        Self::from_pair(RsaKeyPair::generate(2048).map_err(|_| SigningFault)?, key_id)
    }

    /// Reads a private key in PEM (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    /// [`SigningFault`] if `pem` is not an RSA private key of at least 2048 bits.
    pub fn from_pem(pem: &[u8], key_id: &str) -> Result<Self, SigningFault> {
        Self::from_pair(RsaKeyPair::from_pem(pem).map_err(|_| SigningFault)?, key_id)
    }

    fn from_pair(mut pair: RsaKeyPair, key_id: &str) -> Result<Self, SigningFault> {
        pair.set_key_id(Some(key_id));
        let signer = RS256.signer_from_pem(pair.to_pem_private_key()).map_err(|_| SigningFault)?;
        Ok(Self { pair, signer, key_id: key_id.to_owned() })
    }

    /// Returns the key's id in the key set.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the private key in PEM (PKCS#8). A secret: write it to its own file only.
    #[must_use]
    pub fn to_pem(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(self.pair.to_pem_private_key())
    }

    /// Returns the public key as a key set in the form of IDaaS: `kty`, `e`, `use`, `kid`, `n`, and no `alg`.
    #[must_use]
    pub fn to_jwks(&self) -> serde_json::Value {
        let public = self.pair.to_jwk_public_key();
        serde_json::json!({"keys": [{
            "kty": "RSA",
            "e": public.parameter("e"),
            "use": "sig",
            "kid": self.key_id,
            "n": public.parameter("n"),
        }]})
    }

    /// Signs `input` with RS256.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SigningFault> {
        self.signer.sign(input).map_err(|_| SigningFault)
    }
}
