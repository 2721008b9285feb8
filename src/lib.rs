//! idaas-bridge
pub mod jose;
pub mod schema;
pub mod secret;
