//! The integration tests: one binary, so that there is one link step, whatever the number of tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail by panicking, as the tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod callbacks;
mod commands;
mod demo;
mod deploy;
mod documents;
mod faults;
mod fetch;
mod foreign_fixtures;
mod kafka_credentials;
mod kafka_faults;
mod kafka_partitions;
mod kafka_replaced;
mod keys;
mod materialize;
mod pairs;
mod properties;
mod real_kafka;
mod refusals;
mod replica_quarantine;
mod replica_topic;
mod replicas;
mod schemas;
mod tail;
mod tracing;
mod wording;
