//! What several tests share: judges of records and of schemas, brokers to run against, readers of what was published.

pub(crate) mod bridge;
pub(crate) mod certificates;
pub(crate) mod command;
pub(crate) mod compatibility;
pub(crate) mod conformance;
pub(crate) mod environment;
pub(crate) mod fault_load;
pub(crate) mod http;
pub(crate) mod otlp;
pub(crate) mod passwords;
pub(crate) mod raw_produce;
pub(crate) mod real_kafka;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod rules;
pub(crate) mod slow_disk;
pub(crate) mod validators;
