//! Code that every Kafka client needs: settings, headers, the polling thread and error types.

pub mod connection_error;
pub mod error;
pub(super) mod headers;
pub(super) mod log;
pub(super) mod many_topics;
pub(super) mod polled;
pub mod settings;
pub(super) mod timestamp;
