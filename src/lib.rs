#![doc = include_str!("../ARCHITECTURE.md")]

pub mod bridge;
pub mod commands;
pub mod config;
pub mod demo;
pub mod jose;
pub mod kafka;
pub mod keys;
pub mod outbox;
pub mod prepare;
pub mod refusal;
pub mod schema;
pub mod secret;
pub mod server;
pub mod service;
pub mod simulate;
pub mod telemetry;
