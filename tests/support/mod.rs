//! What several tests need: judges of records and of schemas.

pub(crate) mod compatibility;
pub(crate) mod conformance;
pub(crate) mod passwords;
pub(crate) mod record;
pub(crate) mod rules;
pub(crate) mod validators;
//! What several suites share: brokers to run against, and readers of what was published.

pub(crate) mod real_kafka;
pub(crate) mod records;
