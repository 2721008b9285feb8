//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod admin;
pub mod availability;
mod backfill;
pub mod client;
pub mod consumer;
mod correlate;
pub mod embedded;
pub mod follow;
mod locate;
pub mod our_topics;
pub mod producer;
mod published_record;
mod reader;
pub mod recent_records;
pub mod replica_log;
pub mod scan;
pub mod state;
