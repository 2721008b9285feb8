//! `crates/idaas-callback` from its own sources, with `json` on a library instead of the project's own reader. So the time
//! of a whole callback is measured and not estimated, and its tests show what the library does not guarantee.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "the crate's own sources, of which a part is used")]

#[path = "../../../crates/idaas-callback/src/authenticate.rs"]
mod authenticate;
#[path = "../../../crates/idaas-callback/src/cleared.rs"]
mod cleared;
#[path = "../../../crates/idaas-callback/src/decode.rs"]
mod decode;
#[path = "../../../crates/idaas-callback/src/decrypt.rs"]
mod decrypt;
#[path = "../../../crates/idaas-callback/src/event.rs"]
mod event;
#[path = "../../../crates/idaas-callback/src/event_type.rs"]
pub mod event_type;
#[path = "../../../crates/idaas-callback/src/fetched.rs"]
pub mod fetched;
#[path = "../../../crates/idaas-callback/src/field.rs"]
mod field;
#[path = "../../../crates/idaas-callback/src/jose/mod.rs"]
pub mod jose;
mod json;
#[path = "../../../crates/idaas-callback/src/normalize/mod.rs"]
mod normalize;
#[path = "../../../crates/idaas-callback/src/policy.rs"]
pub mod policy;
#[path = "../../../crates/idaas-callback/src/quarantined.rs"]
mod quarantined;
#[path = "../../../crates/idaas-callback/src/record.rs"]
pub mod record;
#[path = "../../../crates/idaas-callback/src/redact.rs"]
mod redact;
#[path = "../../../crates/idaas-callback/src/refusal.rs"]
mod refusal;
#[path = "../../../crates/idaas-callback/src/timestamp.rs"]
pub mod timestamp;
#[path = "../../../crates/idaas-callback/src/value.rs"]
mod value;
pub mod walk;

pub use authenticate::{ISSUER, Verified, authenticate};
pub use decode::{Callback, decode};
pub use decrypt::{Plaintext, decrypt};
pub use fetched::{FetchedEntity, prepare_fetched};
pub use field::Drift;
pub use normalize::{
    DeadLetterSource, Disposition, EventId, PreparedEvent, Reason, RequestContext, StoredOriginal, normalize,
};
pub use quarantined::{QuarantinedCallback, QuarantinedContent, from_quarantine, to_quarantine};
pub use refusal::Refusal;

/// As `idaas_callback::Prepared`.
pub struct Prepared {
    pub items: Vec<PreparedEvent>,
    pub decryption_key: Option<usize>,
}

/// As `idaas_callback::prepare`.
///
/// # Errors
/// As there.
pub fn prepare(
    body: &[u8],
    keys: &jose::jws::KeySet,
    policy: &policy::Policy,
    moment: RequestContext<'_>,
) -> Result<Prepared, Refusal> {
    let verified = authenticate(body, keys, policy, moment.received_at.div_euclid(1000))?;
    let callback = decode(decrypt(verified, policy)?, policy)?;
    let items = normalize(&callback, policy, moment)?;
    Ok(Prepared { items, decryption_key: callback.key })
}
