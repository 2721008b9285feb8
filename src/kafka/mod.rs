//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod administrator;
mod backfill;
mod breaker;
pub mod consumer;
pub mod difference;
pub mod embedded;
pub mod follow;
mod headers;
mod health;
mod life;
mod locate;
mod pairing;
pub mod probe;
pub mod producer;
pub mod reach;
mod reader;
pub mod remedy;
pub mod replica_log;
pub mod scan;
pub mod scope;
pub mod settings;
mod sighting;
pub mod statistics;
pub mod tail;
pub mod topics;
pub mod trouble;
pub mod watch;
