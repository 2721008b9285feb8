//! Simulates Alibaba Cloud IDaaS as the sender of event callbacks, for tests and benchmarks of a receiver.
//!
//! The path of a simulated event: [`events`] generates it, [`payload`] serializes it, [`token`] encrypts and signs it
//! (with [`encryption`] and [`signing`]), [`sender`] posts it, [`answer`] parses the answer, [`redelivery`] sends it
//! again as IDaaS would, [`run`] repeats this for many events, and [`stats`] counts. [`fault`] lists deliberate
//! faults, and the answers that the bridge must give.
//!
//! Shares no code with a receiver, because a mistake in shared code would go unnoticed. A receiver must not use it:
//! it signs, and it contains private keys.
//!
//! ```
//! use idaas_simulator::{events::Generator, tenant_keys::TenantKeys, token};
//!
//! let instance = TenantKeys::generate()?; // a signing key, an encryption key, invented ids
//! let events = Generator::new(1).one_of_each(1_790_000_000_000);
//! let body = token::body(&instance, &events, 1_790_000_000)?;
//! assert!(body.starts_with(r#"{"event":"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod answer;
mod attacks;
mod directory;
pub mod encryption;
pub mod events;
pub mod fault;
pub mod key_files;
pub mod kind;
pub mod payload;
mod presigner;
pub mod redelivery;
pub mod run;
pub mod sender;
pub mod signing;
pub mod stats;
pub mod tenant_keys;
pub mod token;

#[cfg(any(test, feature = "test-bridge"))]
pub mod test_bridge;
