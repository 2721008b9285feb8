//! State that all requests share: the applications, the dispatcher, and whether the service accepts callbacks.
//!
//! The applications are an immutable snapshot that a reload replaces as a whole. A request sees either the old or the
//! new applications, never a mixture.

mod dead_letters;
mod quarantine;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use idaas_callback::policy::Policy;
use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::delivery::dispatcher::{Dispatcher, EventSource};
use crate::kafka::client::settings::Cluster;
use crate::keys::{KeyRing, KeyStore};
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::metrics::{ApplicationState, MetricTexts, Metrics};

pub use dead_letters::DeadLetterOutcome;
pub use quarantine::Redriven;

/// One configured application.
pub struct Application {
    /// Name in paths, logs and metrics.
    pub name: String,
    /// Rules for its callbacks.
    pub policy: Arc<Policy>,
    /// Networks that its callbacks may come from.
    pub networks: Vec<IpNet>,
    /// Public keys that verify its callbacks.
    pub keys: Arc<KeyStore>,
    /// Metrics of the application.
    pub metrics: Arc<ApplicationMetrics>,
    /// The part of the application that its events need while they are in progress.
    pub source: Arc<EventSource>,
}

/// The applications by name, and the tasks that refresh their keys.
pub struct Applications {
    /// Applications by the last part of the callback path.
    pub by_name: HashMap<String, Arc<Application>>,
    /// Key stores of the applications.
    pub keys: KeyRing,
}

impl Applications {
    fn sources(&self) -> impl Iterator<Item = Arc<EventSource>> {
        self.by_name.values().map(|application| Arc::clone(&application.source))
    }
}

/// Limits of the HTTP server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum time from the request to the response.
    pub response_deadline: Duration,
    /// Maximum size of a body, in bytes.
    pub max_body: usize,
    /// Maximum size of all callbacks in memory, in bytes. A callback counts from its first byte to its response.
    pub max_buffered: usize,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// The running service, as request handlers see it.
pub struct AppState {
    /// Limits of the HTTP server.
    pub limits: Limits,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Delivers events to the broker.
    pub dispatcher: Arc<Dispatcher>,
    /// Permits for preparing large callbacks. One per processor, because more at a time are not faster and need more
    /// memory.
    pub large: Semaphore,
    applications: ArcSwap<Applications>,
    /// How to connect to Kafka for reading the topics.
    cluster: ArcSwapOption<Cluster>,
    /// Permit for reading the dead letters.
    dead_letters: Semaphore,
    draining: AtomicBool,
    warm: AtomicBool,
    buffered: AtomicUsize,
}

impl AppState {
    /// Creates the state of a service that is not ready yet.
    #[must_use]
    pub fn new(limits: Limits, metrics: Arc<Metrics>, dispatcher: Arc<Dispatcher>, applications: Applications) -> Self {
        dispatcher.set_sources(applications.sources());
        Self {
            limits,
            metrics,
            dispatcher,
            large: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            applications: ArcSwap::from_pointee(applications),
            cluster: ArcSwapOption::empty(),
            dead_letters: Semaphore::new(1),
            draining: AtomicBool::new(false),
            warm: AtomicBool::new(false),
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
        self.dispatcher.set_sources(applications.sources());
        self.applications.store(Arc::new(applications));
    }

    /// Sets how the topics are reached from now on.
    pub fn set_cluster(&self, cluster: Cluster) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// Returns true if callbacks should be sent to this service: the producer has been warmed up or the attempt was
    /// abandoned, at least one application has keys, and the service is not shutting down. A Kafka outage does not
    /// count, because callbacks still get correct responses.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.warm.load(Ordering::Relaxed) && !self.is_draining() && self.applications.load().keys.any_keys()
    }

    /// Marks the producer as warmed up, or the attempt as abandoned.
    pub fn warmed_up(&self) {
        self.warm.store(true, Ordering::Relaxed);
    }

    /// Returns true if the service is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Starts the shutdown: no further callbacks are accepted.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Creates a memory permit that holds nothing yet.
    #[must_use]
    pub const fn reserve(&self) -> MemoryPermit<'_> {
        MemoryPermit { app_state: self, bytes: 0 }
    }

    /// Returns all current metrics in the Prometheus text format, one text per family.
    pub fn metrics_texts(&self) -> MetricTexts {
        let flag = i64::from;
        self.metrics.ready.set(flag(self.is_ready()));
        self.metrics.draining.set(flag(self.is_draining()));
        self.dispatcher.update_metrics();
        if let Some(journal) = self.dispatcher.journal() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.metrics.journal.show(&journal.usage(), i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
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

/// A share of the memory for callbacks. Returned when dropped.
pub struct MemoryPermit<'a> {
    app_state: &'a AppState,
    bytes: usize,
}

impl MemoryPermit<'_> {
    /// Adds bytes that have been received. Returns false if they exceed the limit. Counts received bytes only, not
    /// `Content-Length`; otherwise idle senders could exhaust the limit.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let room = self.app_state.limits.max_buffered.max(self.app_state.limits.max_body);
        let before = self.app_state.buffered.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before + bytes <= room
    }
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        self.app_state.buffered.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
