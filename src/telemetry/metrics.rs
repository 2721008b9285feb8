//! The metrics of the process, and the registry of all metrics.
//!
//! Label values are a closed set: a sender cannot create one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use idaas_callback::event_type::Entity;
use parking_lot::Mutex;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::application::ApplicationMetrics;
use super::families::ApplicationFamilies;
use super::history::History;
use super::journal::JournalMetrics;
use super::kafka::KafkaMetrics;
use super::liveness::Liveness;
use super::process::ProcessMetrics;
use super::replicas::ReplicaMetrics;
use super::service::ServiceMetrics;
use super::spans::SpanMetrics;

/// A value that goes up and down.
pub use prometheus::IntGauge as Gauge;

/// The metric that identifies a running idaas-bridge.
pub const BUILD_INFO: &str = "idaas_bridge_build_info";

/// The prefix of every metric's name.
pub const NAMESPACE: &str = "idaas_bridge";

/// Histogram buckets for durations, in seconds: from half a millisecond to 10 s, the time that IDaaS waits.
pub(super) const DURATION_EDGES: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0];

/// Histogram buckets for the age of events, in seconds: up to a day.
const AGE_EDGES: [f64; 12] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 21_600.0, 86_400.0];

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// Detects threads that ended unexpectedly.
    pub liveness: Arc<Liveness>,
    /// Callbacks in progress.
    pub callbacks_in_flight: IntGauge,
    /// Events whose content is in memory.
    pub events_in_flight: IntGauge,
    /// The maximum of `events_in_flight`.
    pub events_in_flight_limit: IntGauge,
    /// 1 if load balancers should send callbacks here.
    pub ready: IntGauge,
    /// 1 while the service is shutting down.
    pub draining: IntGauge,
    /// Reloads of the configuration, by result.
    pub config_reloads: IntCounterVec,
    /// The metrics of the configuration, the certificates and the log.
    pub service: ServiceMetrics,
    /// The metrics of the journal and the quarantine.
    pub journal: JournalMetrics,
    /// The metrics of the cluster and the producer.
    pub kafka: KafkaMetrics,
    /// The metrics of the coordination of replicas.
    pub replicas: ReplicaMetrics,
    /// The metrics of the export of spans.
    pub spans: SpanMetrics,
    publish_duration: [Histogram; Entity::ALL.len()],
    event_age: [Histogram; Entity::ALL.len()],
    families: ApplicationFamilies,
    /// The applications that there are, by name. Also the lock for adding, removing and showing their series.
    applications: Mutex<HashMap<String, Arc<ApplicationMetrics>>>,
    /// Requests to unknown applications.
    pub unknown: IntCounter,
    /// The latest events.
    pub history: History,
    process: Option<ProcessMetrics>,
}

/// An application's metrics at the time of the scrape.
pub struct ApplicationState<'a> {
    /// The configured name.
    pub name: &'a str,
    /// The application's metrics.
    pub metrics: &'a ApplicationMetrics,
    /// The number of public keys.
    pub keys: usize,
    /// The age of the public keys. `None` if there are none.
    pub keys_age: Option<Duration>,
}

impl Metrics {
    /// Creates all metrics at zero.
    ///
    /// # Errors
    /// If a metric is registered twice, which is a bug in this crate.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name, help| register(&registry, IntGauge::with_opts(opts(name, help))?);
        let build = register(
            &registry,
            IntGaugeVec::new(opts("build_info", "The running build; always 1."), &["version", "revision"])?,
        )?;
        let revision = option_env!("IDAAS_BRIDGE_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let config_reloads = counters(
            &registry,
            "config_reloads_total",
            "Reloads of the configuration, by result: ok or failed.",
            &["result"],
        )?;
        for result in ["ok", "failed"] {
            config_reloads.with_label_values(&[result]);
        }
        let families = ApplicationFamilies::new(&registry)?;
        Ok(Arc::new(Self {
            liveness: Arc::default(),
            callbacks_in_flight: gauge(
                "callbacks_in_flight",
                "Callbacks to configured applications that are being read or wait for their answer.",
            )?,
            events_in_flight: gauge(
                "events_in_flight",
                "Events whose content is in memory; what waits in the journal alone does not count.",
            )?,
            events_in_flight_limit: gauge(
                "events_in_flight_limit",
                "Limit of events_in_flight (server.max_in_flight_events).",
            )?,
            ready: gauge("ready", "1 if load balancers should send callbacks here (/readyz answers 200), else 0.")?,
            draining: gauge("draining", "1 while the service shuts down, else 0.")?,
            config_reloads,
            service: ServiceMetrics::new(&registry)?,
            journal: JournalMetrics::new(&registry)?,
            kafka: KafkaMetrics::new(&registry)?,
            replicas: ReplicaMetrics::new(&registry)?,
            spans: SpanMetrics::new(&registry)?,
            publish_duration: by_entity(
                &registry,
                "publish_duration_seconds",
                "Seconds from handing a record to the producer until the broker confirms it.",
                &DURATION_EDGES,
            )?,
            event_age: by_entity(
                &registry,
                "event_age_seconds",
                "Seconds from the event's eventTime until the broker confirms its record.",
                &AGE_EDGES,
            )?,
            unknown: families.unknown(),
            history: History::default(),
            process: ProcessMetrics::new(&registry)?,
            families,
            applications: Mutex::default(),
            registry,
        }))
    }

    /// Returns the metrics of an application, and creates them if they do not exist. `decryption_keys` is the current
    /// number of keys. Existing counters continue.
    #[must_use]
    pub fn application(&self, name: &str, decryption_keys: usize) -> Arc<ApplicationMetrics> {
        let mut applications = self.applications.lock();
        let before = applications.get(name).map(|before| &**before);
        let metrics = Arc::new(self.families.of(name, decryption_keys, before));
        applications.insert(name.to_owned(), Arc::clone(&metrics));
        metrics
    }

    /// Returns the metrics of an application, if it exists.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<ApplicationMetrics>> {
        self.applications.lock().get(name).cloned()
    }

    /// Removes the series of all other applications, and those of decryption keys beyond the number given for each
    /// name.
    pub fn keep_only(&self, names: &HashMap<&str, usize>) {
        let mut applications = self.applications.lock();
        self.families.forget_keys(names);
        let gone: HashSet<_> = applications.keys().filter(|name| !names.contains_key(name.as_str())).cloned().collect();
        if !gone.is_empty() {
            self.families.forget(&gone);
            applications.retain(|name, _| !gone.contains(name));
        }
    }

    /// Returns the histogram of the time until a record is confirmed, in seconds.
    pub(crate) fn publish_duration(&self, entity: Entity) -> &Histogram {
        entity.pick(&self.publish_duration)
    }

    /// Returns the number of records confirmed since the start, and the sum of their confirmation times in seconds.
    #[must_use]
    pub fn confirmations(&self) -> (u64, f64) {
        self.publish_duration.iter().fold((0, 0.0), |(count, seconds), entity| {
            (count + entity.get_sample_count(), seconds + entity.get_sample_sum())
        })
    }

    /// Returns the histogram of the age of events when they are confirmed, in seconds.
    pub(crate) fn event_age(&self, entity: Entity) -> &Histogram {
        entity.pick(&self.event_age)
    }

    /// Returns all metrics in Prometheus' text format, with the state of these applications. Each family is encoded
    /// when it is requested, because the text of many applications takes megabytes.
    pub fn texts<'a>(&self, applications: impl Iterator<Item = ApplicationState<'a>>) -> MetricTexts {
        // Concurrent scrapes would remove each other's gauges.
        let _one_at_a_time = self.applications.lock();
        self.families.show(applications);
        self.process.iter().for_each(ProcessMetrics::update);
        self.registry.gather().into_iter().map(encoded as fn(MetricFamily) -> String)
    }
}

/// The texts of the metric families. Each family is encoded when it is requested, and then freed.
pub type MetricTexts = std::iter::Map<std::vec::IntoIter<MetricFamily>, fn(MetricFamily) -> String>;

fn encoded(family: MetricFamily) -> String {
    // Fails only for a family without metrics, and the registry omits those.
    TextEncoder::new().encode_to_string(&[family]).unwrap_or_default()
}

/// A counter that follows a total that is kept elsewhere.
pub(super) struct Total {
    counter: IntCounter,
    seen: AtomicU64,
}

impl Total {
    pub(super) fn new(registry: &Registry, name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let counter = register(registry, IntCounter::with_opts(opts(name, help))?)?;
        Ok(Self { counter, seen: AtomicU64::new(0) })
    }

    pub(super) fn get(&self) -> u64 {
        self.counter.get()
    }

    pub(super) fn follow(&self, total: u64) {
        let seen = self.seen.swap(total, Ordering::Relaxed);
        // A smaller total is that of a replacement, which began at zero.
        self.counter.inc_by(if total >= seen { total - seen } else { total });
    }
}

fn by_entity(
    registry: &Registry,
    name: &str,
    help: &str,
    edges: &[f64],
) -> Result<[Histogram; Entity::ALL.len()], prometheus::Error> {
    let family = histograms(registry, name, help, edges, &["entity"])?;
    Ok(Entity::ALL.map(|entity| family.with_label_values(&[entity.name()])))
}

pub(super) fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

pub(super) fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(opts(name, help), labels)?)
}

pub(super) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    edges: &[f64],
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(edges.to_vec());
    register(registry, HistogramVec::new(opts, labels)?)
}
