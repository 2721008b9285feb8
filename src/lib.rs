#![doc = include_str!("../ARCHITECTURE.md")]

pub mod bridge;
pub mod commands;
pub mod config;
pub mod counts;
pub mod delivery;
pub mod demo;
pub mod journal;
pub mod kafka;
pub mod keys;
pub mod materialize;
pub mod schema;
pub mod secret;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod text;
