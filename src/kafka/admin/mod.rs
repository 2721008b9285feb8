//! Expected and actual state of the topics, the brokers and the rights of the Kafka user, and how to correct them.

pub mod administrator;
pub mod brokers;
pub mod permissions;
pub mod remedy;
pub mod topic_drift;
pub mod topics;
