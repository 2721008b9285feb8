//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod admin;
pub mod availability;
pub mod client;
pub mod embedded;
pub mod history;
pub mod producer;
pub mod replica_log;
pub mod state;
