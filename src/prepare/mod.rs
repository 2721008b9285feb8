//! From the bytes of a callback to records, purely: no clock, no environment, no logging, no async, no broker.
//!
//! Each stage takes the type that only the stage before can build, so that nothing can be published that was not
//! authenticated, and nothing decoded that was not opened.

mod authenticate;
mod cleared;
mod decode;
mod decrypt;
mod event;
pub mod event_type;
pub mod fetched;
mod field;
pub(crate) mod json;
mod kept;
mod normalize;
pub mod policy;
pub mod record;
mod redact;
pub mod timestamp;
mod value;

pub use authenticate::{ISSUER, Verified, authenticate};
pub use decode::{Callback, decode};
pub use decrypt::{Plaintext, decrypt};
pub use field::Drift;
pub(crate) use kept::KeptContent;
pub use kept::{KeptCallback, keep, resume};
pub use normalize::{EventId, Evidence, Item, Kept, Moment, Plan, Reason, normalize};

use crate::jose::jws::KeySet;
use crate::refusal::Refusal;
use policy::Policy;

/// An authentic callback, ready to be published.
pub struct Prepared {
    /// One item per event, in their order.
    pub items: Vec<Item>,
    /// The position of the decryption key that opened it; `None` where it was not encrypted.
    pub decryption_key: Option<usize>,
}

/// Authenticates, decrypts, decodes and normalizes a callback.
///
/// # Errors
/// The one [`Refusal`] that applies first, and then nothing of the callback may be used.
pub fn prepare(body: &[u8], keys: &KeySet, policy: &Policy, moment: Moment<'_>) -> Result<Prepared, Refusal> {
    let verified = authenticate(body, keys, policy, moment.received_at.div_euclid(1000))?;
    let plaintext = decrypt(verified, policy)?;
    let callback = decode(plaintext, policy)?;
    let items = normalize(&callback, policy, moment)?;
    Ok(Prepared { items, decryption_key: callback.key })
}
