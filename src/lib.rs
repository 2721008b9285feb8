//! idaas-bridge
pub mod jose;
pub mod keys;
pub mod secret;
