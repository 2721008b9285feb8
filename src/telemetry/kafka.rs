//! The metrics of the cluster and of the producer.

use prometheus::{GaugeVec, IntCounter, IntGauge, Registry};

use super::metrics::{Total, opts, register};
use crate::kafka::statistics::ProducerState;

/// What librdkafka tells of itself once a second.
pub struct KafkaMetrics {
    /// Whether the cluster answers.
    pub available: IntGauge,
    /// How often the producer was replaced.
    pub producer_recreated: IntCounter,
    queue_events: IntGauge,
    queue_events_limit: IntGauge,
    queue_bytes: IntGauge,
    queue_bytes_limit: IntGauge,
    round_trip: GaugeVec,
    request_timeouts: Total,
    retries: Total,
}

impl KafkaMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let counter = |name, help| register(registry, IntCounter::with_opts(opts(name, help))?);
        let total = |name, help| Total::new(registry, name, help);
        Ok(Self {
            available: gauge(
                "kafka_available",
                "1 while Kafka is considered available, 0 while events are journaled instead.",
            )?,
            producer_recreated: counter("kafka_producer_recreated_total", "Replacements of the Kafka producer.")?,
            queue_events: gauge("kafka_queue_events", "Records in the producer that the broker has not confirmed.")?,
            queue_events_limit: gauge("kafka_queue_events_limit", "Limit of kafka_queue_events.")?,
            queue_bytes: gauge(
                "kafka_queue_bytes",
                "Bytes of the records in the producer that the broker has not confirmed.",
            )?,
            queue_bytes_limit: gauge("kafka_queue_bytes_limit", "Limit of kafka_queue_bytes.")?,
            round_trip: register(
                registry,
                GaugeVec::new(
                    opts("kafka_broker_rtt_seconds", "Mean round trip of requests to a broker, in seconds."),
                    &["broker"],
                )?,
            )?,
            request_timeouts: total("kafka_request_timeouts_total", "Requests to brokers that timed out.")?,
            retries: total("kafka_retries_total", "Requests to brokers that were sent again.")?,
        })
    }

    /// Shows the producer's state.
    pub(crate) fn show(&self, state: &ProducerState) {
        for (gauge, value) in [
            (&self.queue_events, state.queue_events),
            (&self.queue_events_limit, state.queue_events_limit),
            (&self.queue_bytes, state.queue_bytes),
            (&self.queue_bytes_limit, state.queue_bytes_limit),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        for (broker, microseconds) in &state.round_trips {
            self.round_trip.with_label_values(&[&broker.to_string()]).set(*microseconds as f64 / 1e6);
        }
        self.request_timeouts.follow(state.request_timeouts);
        self.retries.follow(state.retries);
    }
}
