//! idaas-bridge
pub mod jose;
pub mod secret;
