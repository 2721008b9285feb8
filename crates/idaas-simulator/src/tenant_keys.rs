//! A simulated IDaaS instance: its ids, and the keys with which it signs and encrypts.
//!
//! Private keys have no `Debug`, and are only written to the files of `simulate init`.

use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::directory::identifier;
use crate::encryption::{ContentKey, KeyFault};
use crate::signing::{SigningFault, SigningKey};

/// The ids that an instance uses for an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name of the application in the bridge's configuration, which is the last part of the callback's path.
    pub application: String,
    /// The application's id, which is the token's `aud`.
    pub application_id: String,
    /// The instance's id, which is the token's `sub`.
    pub instance_id: String,
    /// The number of the Alibaba Cloud account.
    pub ali_uid: u64,
}

impl Identity {
    /// Generates ids in the form of real ones, for an application with the name `workforce`.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = fastrand::Rng::new();
        Self {
            application: "workforce".to_owned(),
            application_id: format!("app_{}", identifier(&mut random, 26)),
            instance_id: format!("idaas_{}", identifier(&mut random, 26)),
            ali_uid: ALI_UID,
        }
    }
}

/// The account number in every payload. Nothing depends on its value.
pub(super) const ALI_UID: u64 = 1_021_000_000_000_001;

/// A simulated instance with its keys.
pub struct TenantKeys {
    /// The ids that it uses.
    pub identity: Identity,
    /// Event types that the bridge's configuration skips, from which the expected answers follow.
    pub skip: Vec<String>,
    pub(super) signing: SigningKey,
    pub(super) content: ContentKey,
    unrelated: OnceLock<Option<SigningKey>>,
}

/// A key cannot be used. Contains nothing of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantKeysError {
    /// The signing key is unusable.
    Signing(SigningFault),
    /// The encryption key is unusable.
    Encryption(KeyFault),
}

impl std::fmt::Display for TenantKeysError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signing(fault) => write!(f, "{fault}"),
            Self::Encryption(fault) => write!(f, "the encryption key {fault}"),
        }
    }
}

impl std::error::Error for TenantKeysError {}

impl TenantKeys {
    /// Creates an instance with these ids and keys.
    ///
    /// # Errors
    /// [`TenantKeysError`] if `encryption_key` is not hexadecimal of a supported length.
    pub fn new(identity: Identity, signing: SigningKey, encryption_key: &str) -> Result<Self, TenantKeysError> {
        let content = ContentKey::from_hex(encryption_key).map_err(TenantKeysError::Encryption)?;
        Ok(Self { identity, skip: Vec::new(), signing, content, unrelated: OnceLock::new() })
    }

    /// Creates an instance with new keys and invented ids.
    ///
    /// # Errors
    /// [`TenantKeysError`] if the crypto library fails.
    pub fn generate() -> Result<Self, TenantKeysError> {
        let key_id = format!("KEY{}", identifier(&mut fastrand::Rng::new(), 32));
        let signing = SigningKey::generate(&key_id).map_err(TenantKeysError::Signing)?;
        let encryption_key = ContentKey::generate_hex().map_err(TenantKeysError::Encryption)?;
        Self::new(Identity::generate(), signing, &encryption_key)
    }

    /// Returns the public key as IDaaS publishes it, for the bridge's `jwks`.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.signing.to_jwks()
    }

    /// Returns the encryption key in hexadecimal, for the bridge's `decryption_keys`. A secret.
    #[must_use]
    pub fn encryption_key(&self) -> Zeroizing<String> {
        self.content.to_hex()
    }

    /// An unpublished key under the id of the real one, generated at its first use.
    pub(super) fn unrelated_key(&self) -> Result<&SigningKey, SigningFault> {
        let make = || SigningKey::generate(self.signing.key_id()).ok();
        self.unrelated.get_or_init(make).as_ref().ok_or(SigningFault)
    }
}
