//! Decides whether Kafka accepts records: the cluster as a whole, and each partition.

pub mod acceptance;
mod breaker;
pub mod cluster_watch;
mod partitioner;
pub(super) mod partitions;
