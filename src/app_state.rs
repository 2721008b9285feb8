//! State shared by all requests: the applications, the dispatcher, and whether callbacks are accepted.
//!
//! The applications are an immutable snapshot. A reload replaces it as a whole, so a request sees either the old or the
//! new applications.

mod dead_letters;
mod quarantine;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use idaas_callback::policy::Policy;
use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::clock;
use crate::delivery::dispatcher::{Dispatcher, OwningApplication};
use crate::kafka::client::settings::Cluster;
use crate::keys::{KeyRing, KeyStore};
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::metrics::{ApplicationState, MetricTexts, Metrics};

pub use dead_letters::DeadLetterOutcome;
pub use quarantine::QuarantineRedrive;

/// One configured application: what requests need of its configuration, and what was made from the rest.
pub struct Application {
    /// Its name in paths, logs and metrics.
    pub name: String,
    /// The rules for its callbacks.
    pub policy: Arc<Policy>,
    /// The networks that its callbacks may come from.
    pub networks: Vec<IpNet>,
    /// Its public keys.
    pub keys: Arc<KeyStore>,
    /// Its metrics.
    pub metrics: Arc<ApplicationMetrics>,
    /// The data of this application that its events need while they are in progress.
    pub owner: Arc<OwningApplication>,
}

/// The applications and their key stores.
pub struct Applications {
    /// By name, which is the last part of the path.
    pub by_name: HashMap<String, Arc<Application>>,
    /// The key stores, with the tasks that refresh them.
    pub keys: KeyRing,
}

impl Applications {
    fn owners(&self) -> impl Iterator<Item = Arc<OwningApplication>> {
        self.by_name.values().map(|application| Arc::clone(&application.owner))
    }
}

/// Limits for HTTP requests: those of the configuration that requests need, and a share of the memory, which is not
/// configured by itself.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum time from the request to the answer.
    pub response_deadline: Duration,
    /// Maximum size of a body, in bytes.
    pub max_body: usize,
    /// Maximum number of bytes of callbacks in memory, from their first byte to their answer.
    pub max_buffered: usize,
    /// Peers whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// State of the running service, shared by all requests.
pub struct AppState {
    /// Limits for HTTP requests.
    pub limits: Limits,
    /// The metrics of the service.
    pub metrics: Arc<Metrics>,
    /// Publishes events, and owns the producer and the journal.
    pub dispatcher: Arc<Dispatcher>,
    /// Permits to prepare large callbacks: one per processor, because more would take memory without being faster.
    pub large_callbacks: Semaphore,
    applications: ArcSwap<Applications>,
    /// Connection settings for reading the topics.
    cluster: ArcSwapOption<Cluster>,
    /// The permit to read the dead letters.
    dead_letters: Semaphore,
    draining: AtomicBool,
    is_warmed_up: AtomicBool,
    buffered: AtomicUsize,
}

impl AppState {
    /// Creates the state of a service that is not ready yet.
    #[must_use]
    pub fn new(limits: Limits, metrics: Arc<Metrics>, dispatcher: Arc<Dispatcher>, applications: Applications) -> Self {
        dispatcher.set_owners(applications.owners());
        Self {
            limits,
            metrics,
            dispatcher,
            large_callbacks: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            applications: ArcSwap::from_pointee(applications),
            cluster: ArcSwapOption::empty(),
            dead_letters: Semaphore::new(1),
            draining: AtomicBool::new(false),
            is_warmed_up: AtomicBool::new(false),
            buffered: AtomicUsize::new(0),
        }
    }

    /// Returns the current applications.
    #[must_use]
    pub fn applications(&self) -> Arc<Applications> {
        self.applications.load_full()
    }

    /// Returns the application with this name.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<Arc<Application>> {
        self.applications.load().by_name.get(name).cloned()
    }

    /// Replaces all applications.
    pub fn replace_applications(&self, applications: Applications) {
        self.dispatcher.set_owners(applications.owners());
        self.applications.store(Arc::new(applications));
    }

    /// Sets how the topics are reached from now on.
    pub fn set_cluster(&self, cluster: Cluster) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// Returns true if callbacks can be sent here: the warm-up has ended, at least one application has keys, and the
    /// service is not shutting down. Kafka need not be available, because callbacks are journaled and answered
    /// correctly without it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_warmed_up.load(Ordering::Relaxed) && !self.is_draining() && self.applications.load().keys.any_keys()
    }

    /// Records that the producer is warmed up, or that the warm-up failed.
    pub fn warmed_up(&self) {
        self.is_warmed_up.store(true, Ordering::Relaxed);
    }

    /// Returns true once the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins the shutdown. From now on, callbacks are rejected.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns an empty memory permit for a body.
    #[must_use]
    pub const fn reserve(&self) -> MemoryPermit<'_> {
        MemoryPermit { app_state: self, bytes: 0 }
    }

    /// Returns all metrics in Prometheus text format, one text per family.
    pub fn metrics_texts(&self) -> MetricTexts {
        let flag = i64::from;
        self.metrics.ready.set(flag(self.is_ready()));
        self.metrics.draining.set(flag(self.is_draining()));
        self.dispatcher.update_metrics();
        if let Some(journal) = self.dispatcher.journal() {
            self.metrics.journal.show(&journal.usage(), clock::now());
        }
        let applications = self.applications.load();
        let states = applications.by_name.values().map(|application| ApplicationState {
            name: &application.name,
            metrics: &application.metrics,
            keys: application.keys.key_count(),
            keys_age: application.keys.age(),
        });
        self.metrics.texts(states)
    }
}

/// Memory reserved for a body. Released when dropped.
pub struct MemoryPermit<'a> {
    app_state: &'a AppState,
    bytes: usize,
}

impl MemoryPermit<'_> {
    /// Adds `bytes` to the reservation. Returns false if the limit is exceeded. Counts received bytes only, not
    /// Content-Length; otherwise idle senders could exhaust the limit.
    #[must_use]
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let limit = self.app_state.limits.max_buffered.max(self.app_state.limits.max_body);
        let before = self.app_state.buffered.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before + bytes <= limit
    }
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        self.app_state.buffered.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
