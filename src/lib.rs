//! idaas-bridge
pub mod jose;
pub mod prepare;
pub mod refusal;
pub mod secret;
