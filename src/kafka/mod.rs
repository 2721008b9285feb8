//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod administrator;
pub mod consumer;
pub mod difference;
pub mod embedded;
pub mod probe;
pub mod producer;
pub mod settings;
pub mod statistics;
pub mod topics;
pub mod trouble;
pub mod watch;
