//! idaas-bridge
pub mod config;
pub mod jose;
pub mod kafka;
pub mod outbox;
pub mod prepare;
pub mod refusal;
pub mod keys;
pub mod schema;
pub mod secret;
pub mod telemetry;
pub mod simulate;
