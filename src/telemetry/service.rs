//! The metrics of the service itself: configuration, certificates and log.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry};

use super::metrics::{opts, register};
use crate::clock;

/// The use of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum CertificateUse {
    /// The certificate of the callback listener.
    Server,
    /// The client certificate for Kafka.
    Kafka,
}

/// The metrics of configuration, certificates and log.
pub struct ServiceMetrics {
    reload_successful: IntGauge,
    reload_time: IntGauge,
    certificate_expiry: IntGaugeVec,
    /// Log lines of refused callbacks that were only counted.
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
        // The configuration has been read at the start.
        metrics.record_reload(true);
        Ok(metrics)
    }

    /// Records a read of the configuration.
    pub fn record_reload(&self, successful: bool) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            let now = clock::since_1970();
            self.reload_time.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// Returns true if the last read of the configuration succeeded.
    #[must_use]
    pub fn is_reload_successful(&self) -> bool {
        self.reload_successful.get() == 1
    }

    /// Sets the expiry of a certificate, in seconds since 1970. `None` if there is no certificate, or if it cannot be
    /// read.
    pub fn certificate_expiry(&self, used: CertificateUse, expiry: Option<i64>) {
        let used: &str = used.into();
        match expiry {
            Some(expiry) => self.certificate_expiry.with_label_values(&[used]).set(expiry),
            // Fails if the series does not exist.
            None => drop(self.certificate_expiry.remove_label_values(&[used])),
        }
    }
}
