//! Metrics, log lines and traces. No other module defines a metric.

pub mod application;
pub mod event;
mod families;
pub mod fetch;
pub mod history;
pub mod journal;
pub mod kafka;
mod last_event;
pub mod liveness;
pub mod log_code;
pub mod logs;
pub mod materialize;
pub mod metrics;
mod process;
pub mod pushes;
pub mod replicas;
pub mod service;
pub mod spans;
