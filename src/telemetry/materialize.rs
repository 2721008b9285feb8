//! The metrics of `materialize`.

use std::sync::Arc;
use std::time::Duration;

use idaas_state::Entity;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use serde::Serialize;

use super::liveness::Liveness;
use super::metrics::{NAMESPACE, counters, opts, register};
use super::process::ProcessMetrics;

/// Histogram buckets for the duration of a restore, in seconds.
const RESTORE_EDGES: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Names of metrics that another process reads.
const LAG: &str = "state_lag_records";
const READY: &str = "state_ready";

/// The metrics of one entity's events.
pub struct EntityMetrics {
    /// Events that changed the state.
    pub applied: IntCounter,
    /// Events that changed nothing.
    pub unchanged: IntCounter,
    /// Events that were older than the newest known event of their entity.
    pub late: IntCounter,
    /// Deletions that were published.
    pub tombstones: IntCounter,
    /// Records that are not events of the entity.
    pub unreadable: IntCounter,
    /// Events whose state would exceed the maximum record size.
    pub too_large: IntCounter,
    /// Entities that exist, in the partitions of this instance.
    pub entities: IntGauge,
}

/// All metrics of `materialize`.
pub struct StateMetrics {
    registry: Registry,
    /// Detects threads that ended unexpectedly.
    pub liveness: Arc<Liveness>,
    /// Committed transactions.
    pub committed: IntCounter,
    /// Transactions that were aborted, or whose outcome is unknown.
    pub aborted: IntCounter,
    /// Replacements of the clients after a failure.
    pub restarts: IntCounter,
    /// Partitions that this instance maintains.
    pub partitions: IntGauge,
    /// 1 if all assigned partitions are maintained.
    pub ready: IntGauge,
    entities: [EntityMetrics; Entity::ALL.len()],
    lag: IntGaugeVec,
    restore: Histogram,
    process: Option<ProcessMetrics>,
}

impl StateMetrics {
    /// Creates all metrics at zero.
    ///
    /// # Errors
    /// If a metric is registered twice, which is a bug in this crate.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let count = |name, help| register(&registry, IntCounter::with_opts(opts(name, help))?);
        let gauge = |name, help| register(&registry, IntGauge::with_opts(opts(name, help))?);
        let families = EntityFamilies::new(&registry)?;
        let build = IntGaugeVec::new(
            opts("state_build_info", "The running build of materialize; always 1."),
            &["version", "revision"],
        )?;
        let revision = option_env!("IDAAS_BRIDGE_REVISION").unwrap_or("unknown");
        register(&registry, build)?.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let restore = HistogramOpts::new(
            "state_restore_seconds",
            "Seconds from a partition's assignment until its state is restored.",
        );
        let lag = opts(
            LAG,
            "Records of the event topic that are not applied yet, in the partitions of this instance. Absent while that is not known.",
        );
        Ok(Arc::new(Self {
            liveness: Arc::default(),
            committed: count("state_transactions_committed_total", "Transactions that were committed.")?,
            aborted: count(
                "state_transactions_aborted_total",
                "Transactions that were aborted, and are repeated by this instance or another.",
            )?,
            restarts: count("state_restarts_total", "How often the clients were replaced after a failure.")?,
            partitions: gauge("state_partitions", "Partitions that this instance maintains.")?,
            ready: gauge(READY, "1 if all partitions assigned to this instance are restored (/readyz), else 0.")?,
            entities: Entity::ALL.map(|entity| families.of(entity)),
            lag: register(&registry, IntGaugeVec::new(lag, &["topic"])?)?,
            restore: register(
                &registry,
                Histogram::with_opts(restore.namespace(NAMESPACE).buckets(RESTORE_EDGES.to_vec()))?,
            )?,
            process: ProcessMetrics::new(&registry)?,
            registry,
        }))
    }

    /// Returns the metrics of an entity.
    #[must_use]
    pub fn entity(&self, entity: Entity) -> &EntityMetrics {
        let [user, organizational_unit, group] = &self.entities;
        match entity {
            Entity::User => user,
            Entity::OrganizationalUnit => organizational_unit,
            Entity::Group => group,
        }
    }

    /// Shows how many records of an event topic are not applied yet. `None` if that is not known: then there is no
    /// sample, because 0 would mean that everything is applied.
    pub fn show_lag(&self, topic: &str, records: Option<i64>) {
        match records {
            Some(records) => self.lag.with_label_values(&[topic]).set(records),
            // It fails if there is no sample.
            None => drop(self.lag.remove_label_values(&[topic])),
        }
    }

    /// Shows that this instance is no longer a member of the group.
    pub fn left_group(&self) {
        self.lag.reset();
        self.partitions.set(0);
    }

    /// Records the duration of a partition's restore.
    pub fn restored(&self, took: Duration) {
        self.restore.observe(took.as_secs_f64());
    }

    /// Returns all metrics in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        self.process.iter().for_each(ProcessMetrics::update);
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// The progress of `materialize`, read from its metrics by another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// True if all assigned partitions are maintained.
    pub ready: bool,
    /// Records that are not applied yet, by topic.
    pub lag: Vec<TopicLag>,
}

/// The number of records of an event topic that are not applied yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicLag {
    /// The event topic.
    pub topic: String,
    /// The number of records.
    pub records: u64,
}

impl Progress {
    /// Parses the output of [`StateMetrics::text`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let ready = format!("{NAMESPACE}_{READY} 1");
        let lag = format!("{NAMESPACE}_{LAG}{{topic=\"");
        let topic = |line: &str| {
            let (topic, value) = line.strip_prefix(&lag)?.split_once("\"} ")?;
            Some(TopicLag { topic: topic.to_owned(), records: value.parse().ok()? })
        };
        let mut lag: Vec<_> = text.lines().filter_map(topic).collect();
        lag.sort_by(|one, other| one.topic.cmp(&other.topic));
        Self { ready: text.lines().any(|line| line == ready), lag }
    }
}

/// The families with a label `entity`.
struct EntityFamilies {
    applied: IntCounterVec,
    unchanged: IntCounterVec,
    late: IntCounterVec,
    tombstones: IntCounterVec,
    unreadable: IntCounterVec,
    too_large: IntCounterVec,
    entities: IntGaugeVec,
}

impl EntityFamilies {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let count = |name, help| counters(registry, name, help, &["entity"]);
        let entities = opts("state_entities", "Entities that exist, in the partitions of this instance.");
        Ok(Self {
            applied: count("state_applied_total", "Events that changed the state.")?,
            unchanged: count("state_unchanged_total", "Events that changed nothing, for example repeated ones.")?,
            late: count("state_late_events_total", "Events that were older than the newest known of their entity.")?,
            tombstones: count("state_tombstones_total", "Deletions that were published.")?,
            unreadable: count("state_unreadable_total", "Records of the event topic that are not events.")?,
            too_large: count("state_too_large_total", "Events skipped because the state exceeds the largest record.")?,
            entities: register(registry, IntGaugeVec::new(entities, &["entity"])?)?,
        })
    }

    fn of(&self, entity: Entity) -> EntityMetrics {
        let count = |family: &IntCounterVec| family.with_label_values(&[entity.name()]);
        EntityMetrics {
            applied: count(&self.applied),
            unchanged: count(&self.unchanged),
            late: count(&self.late),
            tombstones: count(&self.tombstones),
            unreadable: count(&self.unreadable),
            too_large: count(&self.too_large),
            entities: self.entities.with_label_values(&[entity.name()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_the_metrics_text() {
        let metrics = StateMetrics::new().unwrap();
        assert_eq!(Progress::parse(&metrics.text()), Progress::default());
        metrics.ready.set(1);
        metrics.show_lag("idaas.user.v1", Some(12));
        metrics.show_lag("idaas.group.v1", Some(0));
        let progress = Progress::parse(&metrics.text());
        let lag: Vec<_> = progress.lag.iter().map(|lag| (lag.topic.as_str(), lag.records)).collect();
        assert!(progress.ready);
        assert_eq!(lag, [("idaas.group.v1", 0), ("idaas.user.v1", 12)]);
        metrics.show_lag("idaas.user.v1", None);
        metrics.show_lag("idaas.user.v1", None);
        assert_eq!(Progress::parse(&metrics.text()).lag.len(), 1, "an unknown lag has no sample");
        metrics.left_group();
        assert_eq!(Progress::parse(&metrics.text()).lag, []);
    }
}
