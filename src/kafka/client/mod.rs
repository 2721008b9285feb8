//! What every client of Kafka needs: settings, headers, and errors in our own words.

pub(super) mod clock;
pub mod connection_error;
pub mod error;
pub(super) mod headers;
pub(super) mod polled;
pub mod settings;
