//! Code that every Kafka client needs: settings, headers, the polling thread and error types.

pub(super) mod clock;
pub mod connection_error;
pub mod error;
pub(super) mod headers;
pub(super) mod many_topics;
pub(super) mod polled;
pub mod settings;
