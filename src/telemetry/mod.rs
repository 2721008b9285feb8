//! What operators see: metrics and log lines. No other place names a metric.

pub mod application;
pub mod journal;
pub mod kafka;
pub mod logs;
pub mod metrics;
pub mod replicas;
