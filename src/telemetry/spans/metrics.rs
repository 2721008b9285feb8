//! The metrics of the export of spans.

use prometheus::{IntCounter, IntCounterVec, Registry};
use strum::VariantArray;

use crate::telemetry::metrics::{counters, opts, register};

/// The reason why a span is not exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum DropReason {
    /// The exporter's queue is full.
    QueueFull,
    /// The collector is unavailable, or answers with an error.
    ExportFailed,
    /// The collector rejected it.
    Rejected,
}

impl DropReason {
    fn code(self) -> &'static str {
        self.into()
    }
}

/// The metrics of the export of spans.
#[derive(Debug, Clone)]
pub struct SpanMetrics {
    /// Spans that the collector has accepted.
    pub(super) exported: IntCounter,
    dropped: IntCounterVec,
}

impl SpanMetrics {
    pub(in crate::telemetry) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let exported = opts("spans_exported_total", "Spans that the collector has accepted.");
        let dropped = counters(
            registry,
            "spans_dropped_total",
            "Spans that were not exported, by reason: queue_full, export_failed or rejected by the collector.",
            &["reason"],
        )?;
        for reason in DropReason::VARIANTS {
            dropped.with_label_values(&[reason.code()]);
        }
        Ok(Self { exported: register(registry, IntCounter::with_opts(exported)?)?, dropped })
    }

    pub(super) fn dropped(&self, reason: DropReason, spans: u64) {
        self.dropped.with_label_values(&[reason.code()]).inc_by(spans);
    }

    /// Returns the number of dropped spans.
    pub(super) fn dropped_total(&self) -> u64 {
        DropReason::VARIANTS.iter().map(|reason| self.dropped.with_label_values(&[reason.code()]).get()).sum()
    }
}
