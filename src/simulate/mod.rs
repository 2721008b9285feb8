//! Plays IDaaS as the sender of event callbacks: for the commands `simulate` and `demo`, for tests and benchmarks.
//!
//! The way of a simulated event: [`events`] invents it, [`payload`] writes it in the sender's form, [`token`] seals
//! and signs it, [`sender`] posts it, [`answer`] reads what the bridge says, [`redelivery`] sends again what IDaaS
//! would send again, [`run`] does so for many, [`tally`] counts and [`show`] tells. [`fault`] holds what can be done wrong on purpose,
//! and what the bridge must say to it.
//!
//! Nothing here may be used by the service itself: it signs, and it holds private keys.

pub mod answer;
pub mod events;
pub mod fault;
mod forge;
pub mod keys_dir;
pub mod kind;
pub mod material;
pub mod payload;
mod people;
pub mod redelivery;
pub mod run;
pub mod sender;
pub mod show;
pub mod tally;
pub mod token;
mod workshop;

#[cfg(test)]
pub(crate) mod test_bridge;
