//! idaas-bridge
pub mod config;
pub mod jose;
pub mod secret;
