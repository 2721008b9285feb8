//! JWS with RS256 (RFC 7515, RFC 7518 §3.3): verifying callbacks, and signing them for the simulator.
//!
//! The verifiers of a key set are built once, when the set is read, because building one costs more than seven
//! verifications. This file must never choose an algorithm by what a token says.

use josekit::jwk::Jwk;
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jws::alg::rsassa::RsassaJwsSigner;
use josekit::jws::{JwsSigner, RS256};
use serde::Deserialize;

use super::rs256::Verifier;

/// The only signature algorithm that is accepted, whatever a token asks for.
pub const ALGORITHM: &str = "RS256";

/// The public keys of one application, each with its verifier ready.
pub struct KeySet {
    keys: Vec<(String, Verifier)>,
}

/// Why a JSON Web Key Set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetFault {
    /// The document is not a JSON object with a list `keys` (RFC 7517 §5).
    NotAKeySet,
    /// None of its keys is an RSA key of 2048 bits or more, with a `kid`, usable for signatures.
    NoUsableKey,
}

impl std::fmt::Display for KeySetFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAKeySet => "the document is no JSON Web Key Set (an object with a list \"keys\")",
            Self::NoUsableKey => {
                "the key set holds no usable key (RSA, 2048 bits or more, with a \"kid\", for signatures)"
            }
        })
    }
}

impl std::error::Error for KeySetFault {}

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// A key of that id made this signature over this input.
    Good,
    /// A key of that id is known, and it did not make this signature.
    Bad,
    /// No key of that id is known.
    UnknownKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517). Keys of other types, uses or sizes are passed over, so that a key added
    /// for another purpose does no harm; `alg` is not required, because IDaaS sends none.
    ///
    /// # Errors
    /// [`KeySetFault`] where the document is no key set, or has no key that could verify anything.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetFault> {
        let document: Document = serde_json::from_slice(document).map_err(|_| KeySetFault::NotAKeySet)?;
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .filter_map(|members| {
                let jwk = Jwk::from_map(members).ok()?;
                let id = jwk.key_id()?.to_owned();
                RS256.verifier_from_jwk(&jwk).ok()?;
                let number = |name| jwk.parameter(name)?.as_str();
                Some((id, Verifier::of(number("n")?, number("e")?)?))
            })
            .collect();
        if keys.is_empty() { Err(KeySetFault::NoUsableKey) } else { Ok(Self { keys }) }
    }

    /// Checks `signature` over `input` (the token up to its second dot) with the keys called exactly `key_id`.
    #[must_use]
    pub fn verify(&self, key_id: &str, input: &[u8], signature: &[u8]) -> Verification {
        let mut verification = Verification::UnknownKey;
        for (id, verifier) in &self.keys {
            if id == key_id {
                if verifier.verify(input, signature) {
                    return Verification::Good;
                }
                verification = Verification::Bad;
            }
        }
        verification
    }

    /// The ids of the keys, in the order of the document.
    pub fn key_ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|(id, _)| id.as_str())
    }
}

/// A private key that signs as IDaaS does. For the simulator and tests; the service itself signs nothing.
pub struct SigningKey {
    pair: RsaKeyPair,
    signer: RsassaJwsSigner,
    key_id: String,
}

/// A signing key could not be made, read or used. Says nothing about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningFault;

impl std::fmt::Display for SigningFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the signing key is no PEM-encoded RSA private key of 2048 bits or more")
    }
}

impl std::error::Error for SigningFault {}

impl SigningKey {
    /// Makes a fresh 2048-bit RSA key, the size that IDaaS uses.
    ///
    /// # Errors
    /// [`SigningFault`] where the crypto library fails.
    pub fn generate(key_id: &str) -> Result<Self, SigningFault> {
        Self::from_pair(RsaKeyPair::generate(2048).map_err(|_| SigningFault)?, key_id)
    }

    /// Reads a private key in PEM (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    /// [`SigningFault`] where `pem` is no RSA private key of 2048 bits or more.
    pub fn from_pem(pem: &[u8], key_id: &str) -> Result<Self, SigningFault> {
        Self::from_pair(RsaKeyPair::from_pem(pem).map_err(|_| SigningFault)?, key_id)
    }

    fn from_pair(mut pair: RsaKeyPair, key_id: &str) -> Result<Self, SigningFault> {
        pair.set_key_id(Some(key_id));
        let signer = RS256.signer_from_pem(pair.to_pem_private_key()).map_err(|_| SigningFault)?;
        Ok(Self { pair, signer, key_id: key_id.to_owned() })
    }

    /// The id by which the key set names this key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The private key in PEM (PKCS#8). To be written to a file of its own and nowhere else.
    #[must_use]
    pub fn to_pem(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(self.pair.to_pem_private_key())
    }

    /// The public half as a key set in the form of IDaaS: `kty`, `e`, `use`, `kid`, `n`, and no `alg`.
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
    /// [`SigningFault`] where the crypto library fails.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SigningFault> {
        self.signer.sign(input).map_err(|_| SigningFault)
    }
}
