//! Everything that meets Kafka: no other place knows the `rdkafka` crate.

pub mod embedded;
pub mod producer;
pub mod reader;
pub mod settings;
pub mod statistics;
pub mod watch;
