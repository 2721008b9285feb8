//! idaas-bridge
pub mod commands;
pub mod jose;
pub mod secret;
pub mod simulate;
