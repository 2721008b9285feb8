//! The metrics of the cluster and of the producer.

use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::metrics::{Total, opts, register};
use crate::kafka::statistics::ProducerState;

/// What librdkafka tells of itself once a second.
pub struct KafkaMetrics {
    available: IntGauge,
    answers: AtomicBool,
    deliverable: AtomicBool,
    partitions_unavailable: IntGaugeVec,
    /// How often another cluster answered at the same address.
    pub cluster_replaced: IntCounter,
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
            answers: AtomicBool::new(false),
            deliverable: AtomicBool::new(true),
            partitions_unavailable: register(
                registry,
                IntGaugeVec::new(
                    opts(
                        "kafka_partitions_unavailable",
                        "Partitions that accept no records at the moment, of those that records were sent to.",
                    ),
                    &["topic"],
                )?,
            )?,
            cluster_replaced: counter(
                "kafka_cluster_replaced_total",
                "How often a different Kafka cluster answered at the same address.",
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

    /// Takes the news whether the cluster answers.
    pub fn answers(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
        self.show_available();
    }

    /// Takes the news whether records can be delivered, if the cluster answers.
    pub fn deliverable(&self, deliverable: bool) {
        self.deliverable.store(deliverable, Ordering::Relaxed);
        self.show_available();
    }

    fn show_available(&self) {
        let available = self.answers.load(Ordering::Relaxed) && self.deliverable.load(Ordering::Relaxed);
        self.available.set(i64::from(available));
    }

    /// Shows how many partitions of a topic take no records.
    pub fn partitions_unavailable(&self, topic: &str, partitions: usize) {
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.partitions_unavailable.with_label_values(&[topic]).set(partitions);
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
