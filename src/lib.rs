//! idaas-bridge
pub mod jose;
pub mod secret;
pub mod simulate;
