//! The metrics of the service itself: its configuration, its certificates and its log.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry};

use super::metrics::{opts, register};

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CertificateUse {
    /// That of the callback listener.
    Server,
    /// That by which this service logs in to Kafka.
    Kafka,
}

/// The service itself.
pub struct ServiceMetrics {
    reload_successful: IntGauge,
    reload_time: IntGauge,
    certificate_expiry: IntGaugeVec,
    /// Lines of refused callbacks that were counted and not written.
    pub suppressed_lines: IntCounter,
}

impl ServiceMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let expiry = opts(
            "tls_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain in use expires, in seconds since 1970.",
        );
        let suppressed = opts(
            "callbacks_refused_log_lines_suppressed_total",
            "Log lines of refused callbacks that were summarized and not written.",
        );
        let metrics = Self {
            reload_successful: gauge(
                "config_last_reload_successful",
                "1 if the last read of the configuration succeeded.",
            )?,
            reload_time: gauge(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read, in seconds since 1970.",
            )?,
            certificate_expiry: register(registry, IntGaugeVec::new(expiry, &["use"])?)?,
            suppressed_lines: register(registry, IntCounter::with_opts(suppressed)?)?,
        };
        // The start has read it.
        metrics.reloaded(true);
        Ok(metrics)
    }

    /// The configuration was read, and taken over if `successful`.
    pub fn reloaded(&self, successful: bool) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.reload_time.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// Whether the last read of the configuration succeeded.
    #[must_use]
    pub fn is_reload_successful(&self) -> bool {
        self.reload_successful.get() == 1
    }

    /// A certificate in use expires at this time, in seconds since 1970. `None` if there is none, or it cannot be read.
    pub fn certificate_expiry(&self, used: CertificateUse, expiry: Option<i64>) {
        let used: &str = used.into();
        match expiry {
            Some(expiry) => self.certificate_expiry.with_label_values(&[used]).set(expiry),
            // It may not have been there.
            None => drop(self.certificate_expiry.remove_label_values(&[used])),
        }
    }
}
