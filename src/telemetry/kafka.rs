//! The metrics of the cluster and of the producer.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec, Registry};
use serde::Serialize;

use super::metrics::{Total, opts, register};
use crate::clock;

/// The state of the cluster and the producer at one moment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaState {
    /// True if Kafka is considered available.
    pub available: bool,
    /// The time of the last change of availability, in milliseconds since 1970. `None` before the first probe result.
    pub since: Option<i64>,
    /// Topics with partitions that accept no records.
    pub partitions_unavailable: Vec<UnavailablePartitions>,
    /// Unconfirmed records in the producer.
    pub queue_events: i64,
    /// Their size in bytes.
    pub queue_bytes: i64,
    /// The round-trip time of each broker.
    pub brokers: Vec<RoundTrip>,
    /// Replacements of the producer.
    pub producer_recreated: u64,
    /// Requests that were sent again.
    pub retries: u64,
}

/// The number of a topic's partitions that accept no records.
#[derive(Debug, Clone, Serialize)]
pub struct UnavailablePartitions {
    /// The topic.
    pub topic: String,
    /// The number of partitions.
    pub partitions: i64,
}

/// The mean round-trip time of requests to a broker.
#[derive(Debug, Clone, Serialize)]
pub struct RoundTrip {
    /// The broker's id.
    pub id: String,
    /// The round trip.
    pub milliseconds: f64,
}

/// The producer's queue, and its requests to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerStatistics {
    /// Records that wait in the producer.
    pub queue_events: u64,
    /// The maximum number of waiting records.
    pub queue_events_limit: u64,
    /// Bytes that wait in the producer.
    pub queue_bytes: u64,
    /// The maximum number of waiting bytes.
    pub queue_bytes_limit: u64,
    /// Requests that timed out, over all brokers, since the producer began.
    pub request_timeouts: u64,
    /// Requests that were retried, over all brokers, since the producer began.
    pub retries: u64,
    /// Mean round trip of each broker by its id, in microseconds.
    pub round_trips: Vec<(i32, u64)>,
}

/// The metrics of the cluster and the producer.
pub struct KafkaMetrics {
    available: IntGauge,
    /// The time of the last change of availability, in milliseconds since 1970; 0 before the first probe result.
    since: AtomicI64,
    is_answering: AtomicBool,
    is_deliverable: AtomicBool,
    /// Advertised broker addresses that do not answer, while Kafka is unavailable.
    unreachable: Mutex<Vec<String>>,
    partitions_unavailable: IntGaugeVec,
    /// Changes to a different cluster at the same address.
    pub cluster_replaced: IntCounter,
    /// Replacements of the producer.
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
            since: AtomicI64::new(0),
            is_answering: AtomicBool::new(false),
            is_deliverable: AtomicBool::new(true),
            unreachable: Mutex::new(Vec::new()),
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
            producer_recreated: counter(
                "kafka_producer_recreated_total",
                "Replacements of the Kafka producer after a fault. A reload does not count.",
            )?,
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

    /// Records whether the cluster answers. Returns true if this changes the availability of Kafka.
    pub fn set_answering(&self, is_answering: bool) -> bool {
        self.is_answering.store(is_answering, Ordering::Relaxed);
        self.show_available()
    }

    /// Records whether records can be delivered, if the cluster answers. Returns true if this changes the availability
    /// of Kafka.
    pub fn set_deliverable(&self, is_deliverable: bool) -> bool {
        self.is_deliverable.store(is_deliverable, Ordering::Relaxed);
        self.show_available()
    }

    /// Records the addresses that brokers advertise and that do not answer.
    pub fn set_unreachable(&self, addresses: Vec<String>) {
        *self.unreachable.lock() = addresses;
    }

    /// Returns the advertised broker addresses that do not answer, while Kafka is unavailable.
    pub fn unreachable_addresses(&self) -> Vec<String> {
        self.unreachable.lock().clone()
    }

    fn show_available(&self) -> bool {
        let available = self.is_answering.load(Ordering::Relaxed) && self.is_deliverable.load(Ordering::Relaxed);
        let before = self.available.get();
        self.available.set(i64::from(available));
        if available {
            self.unreachable.lock().clear();
        }
        let is_news = before != i64::from(available) || self.since.load(Ordering::Relaxed) == 0;
        if is_news {
            self.since.store(clock::now(), Ordering::Relaxed);
        }
        is_news
    }

    /// Returns the time of the last change of availability, in milliseconds since 1970. `None` before the first probe
    /// result.
    #[must_use]
    pub fn available_since(&self) -> Option<i64> {
        Some(self.since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// Returns the current state.
    #[must_use]
    pub fn state(&self) -> KafkaState {
        let partitions = by_label(&self.partitions_unavailable).map(|(topic, value)| (topic, value as i64));
        let partitions = partitions.filter(|(_, partitions)| *partitions > 0);
        let brokers = by_label(&self.round_trip).map(|(id, seconds)| {
            let milliseconds = (seconds * 1e5).round() / 1e2;
            RoundTrip { id, milliseconds }
        });
        KafkaState {
            available: self.available.get() == 1,
            since: self.available_since(),
            partitions_unavailable: partitions
                .map(|(topic, partitions)| UnavailablePartitions { topic, partitions })
                .collect(),
            queue_events: self.queue_events.get(),
            queue_bytes: self.queue_bytes.get(),
            brokers: brokers.collect(),
            producer_recreated: self.producer_recreated.get(),
            retries: self.retries.get(),
        }
    }

    /// Shows how many partitions of a topic accept no records.
    pub fn set_partitions_unavailable(&self, topic: &str, partitions: usize) {
        let partitions = i64::try_from(partitions).unwrap_or(i64::MAX);
        self.partitions_unavailable.with_label_values(&[topic]).set(partitions);
    }

    /// Shows the producer's statistics.
    pub(crate) fn show(&self, state: &ProducerStatistics) {
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

/// Returns the values of a family of gauges that has one label, with the label's values.
fn by_label(family: &impl Collector) -> impl Iterator<Item = (String, f64)> {
    let families = family.collect().into_iter();
    let mut metrics: Vec<_> = families
        .flat_map(|family| {
            let value = |metric: &prometheus::proto::Metric| {
                let label = metric.get_label().first().map(|label| label.value().to_owned());
                Some((label?, metric.get_gauge().get_value()))
            };
            family.get_metric().iter().filter_map(value).collect::<Vec<_>>()
        })
        .collect();
    metrics.sort_by(|(one, _), (other, _)| one.cmp(other));
    metrics.into_iter()
}
