//! Plays Alibaba Cloud IDaaS as the sender of event callbacks, for tests and benchmarks of a receiver.
//!
//! The way of a simulated event: [`events`] invents it, [`payload`] writes it in the sender's form, [`token`] seals
//! and signs it (by [`encryption`] and [`signing`]), [`sender`] posts it, [`answer`] reads what the bridge says,
//! [`redelivery`] sends again what IDaaS would send again, [`run`] does so for many, and [`stats`] counts. [`fault`] holds
//! what can be done wrong on purpose, and what the bridge must say to it.
//!
//! It shares no code with a receiver, so that a mistake in one does not agree with itself. A receiver must not use it:
//! it signs, and it holds private keys.
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
