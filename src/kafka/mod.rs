//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod administrator;
mod breaker;
pub mod consumer;
pub mod difference;
pub mod embedded;
mod health;
mod life;
pub mod probe;
pub mod producer;
pub mod settings;
pub mod statistics;
pub mod topics;
pub mod trouble;
pub mod watch;
