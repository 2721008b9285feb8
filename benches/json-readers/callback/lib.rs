//! `crates/idaas-callback`, built from its own sources, with `json` on a library instead of the project's reader.

#![allow(dead_code, unreachable_pub, reason = "the sources of the crate, of which a part is used")]

pub mod json;

#[path = "../../../crates/idaas-callback/src"]
mod sources {
    pub use super::json;

    pub mod authenticate;
    pub mod cleared;
    pub mod decode;
    pub mod decrypt;
    pub mod event;
    pub mod event_type;
    pub mod fetched;
    pub mod field;
    pub mod jose;
    pub mod normalize;
    pub mod policy;
    pub mod quarantined;
    pub mod record;
    pub mod redact;
    pub mod refusal;
    pub mod timestamp;
    pub mod value;

    pub use authenticate::{ISSUER, Verified, authenticate};
    pub use decode::{Callback, decode};
    pub use decrypt::{Plaintext, decrypt};
    pub use normalize::{
        DeadLetterSource, Disposition, EventId, PreparedEvent, Reason, RequestContext, StoredOriginal, normalize,
    };
    pub use refusal::Refusal;

    /// The same as `idaas_callback::Prepared`.
    pub struct Prepared {
        pub events: Vec<PreparedEvent>,
        pub decryption_key: Option<usize>,
    }

    /// The same as `idaas_callback::prepare_without_observer`.
    ///
    /// # Errors
    /// The same.
    pub fn prepare_without_observer(
        body: &[u8],
        keys: &jose::jws::KeySet,
        policy: &policy::Policy,
        request: RequestContext<'_>,
    ) -> Result<Prepared, Refusal> {
        let verified = authenticate(body, keys, policy, request.received_at.div_euclid(1000))?;
        let callback = decode(decrypt(verified, policy)?, policy)?;
        let events = normalize(&callback, policy, request)?;
        Ok(Prepared { events, decryption_key: callback.key })
    }
}

pub use sources::*;
