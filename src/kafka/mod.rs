//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod administrator;
pub mod availability;
mod backfill;
pub mod client;
pub mod consumer;
mod correlate;
pub mod embedded;
pub mod follow;
mod locate;
pub mod our_topics;
pub mod probe;
pub mod producer;
mod published_record;
pub mod reach;
mod reader;
pub mod recent_records;
pub mod remedy;
pub mod replica_log;
pub mod scan;
pub mod state;
pub mod topic_drift;
pub mod topics;
