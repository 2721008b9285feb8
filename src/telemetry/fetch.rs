//! The metrics of a run of `fetch`. They are written to a file, because a command that ends cannot be scraped.

use prometheus::{IntGaugeVec, Registry, TextEncoder};

use super::metrics::{opts, register};
use crate::clock;

/// The metrics of one run.
pub struct FetchMetrics {
    registry: Registry,
    entities: IntGaugeVec,
    application: String,
}

impl FetchMetrics {
    /// Creates the metrics of a run that has just ended.
    ///
    /// # Errors
    /// If a metric is registered twice, which is a bug in this module.
    pub fn new(application: &str, is_successful: bool) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name, help, labels: &[&str]| register(&registry, IntGaugeVec::new(opts(name, help), labels)?);
        let successful =
            gauge("fetch_last_run_successful", "1 if the last run read and published everything.", &["application"])?;
        successful.with_label_values(&[application]).set(i64::from(is_successful));
        let ended = gauge(
            "fetch_last_run_timestamp_seconds",
            "When the last run ended, in seconds since 1970.",
            &["application"],
        )?;
        let now = clock::since_1970();
        ended.with_label_values(&[application]).set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let help = "Entities of the last run, by result.";
        let entities = gauge("fetch_last_run_entities", help, &["application", "entity", "result"])?;
        Ok(Self { registry, entities, application: application.to_owned() })
    }

    /// Sets the number of entities of a kind with this result.
    pub fn show(&self, entity: &str, result: &str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.entities.with_label_values(&[&self.application, entity, result]).set(count);
    }

    /// Returns all metrics in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
