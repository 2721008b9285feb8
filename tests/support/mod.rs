//! What several suites share: brokers to run against, and readers of what was published.

pub(crate) mod real_kafka;
pub(crate) mod records;
