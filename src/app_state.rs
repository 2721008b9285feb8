//! What all requests share: the applications, the way to the broker, and whether the service is taking callbacks.
//!
//! Applications are an immutable snapshot that a reload replaces whole, so a request sees the old ones or the new ones
//! and never a mixture.

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

/// One application whose callbacks are taken.
pub struct Application {
    /// Its name in paths, logs and metrics.
    pub name: String,
    /// What its callbacks are held to.
    pub policy: Arc<Policy>,
    /// Where its callbacks may come from.
    pub networks: Vec<IpNet>,
    /// Its public keys.
    pub keys: Arc<KeyStore>,
    /// Its metrics.
    pub metrics: Arc<ApplicationMetrics>,
    /// What its events need on their way.
    pub source: Arc<EventSource>,
}

/// The applications by name, and the tasks that keep their keys fresh.
pub struct Applications {
    /// By the last part of the path.
    pub by_name: HashMap<String, Arc<Application>>,
    /// Their key stores.
    pub keys: KeyRing,
}

impl Applications {
    fn sources(&self) -> impl Iterator<Item = Arc<EventSource>> {
        self.by_name.values().map(|application| Arc::clone(&application.source))
    }
}

/// The limits of the HTTP side.
#[derive(Debug, Clone)]
pub struct Limits {
    /// When an answer leaves at the latest, counted from the request.
    pub response_deadline: Duration,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How many bytes of callbacks may be in memory at once, from their first byte to their answer.
    pub max_buffered: usize,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
}

/// The running service, as requests see it.
pub struct AppState {
    /// The limits.
    pub limits: Limits,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The way to the broker.
    pub dispatcher: Arc<Dispatcher>,
    /// Turns at preparing large callbacks: one per processor, because more at a time are no faster and take more memory.
    pub large: Semaphore,
    applications: ArcSwap<Applications>,
    /// How to read the topics.
    cluster: ArcSwapOption<Cluster>,
    /// Turns at reading the dead letters.
    dead_letters: Semaphore,
    draining: AtomicBool,
    warm: AtomicBool,
    buffered: AtomicUsize,
}

impl AppState {
    /// A bridge that is not ready yet.
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

    /// The applications of this moment.
    #[must_use]
    pub fn applications(&self) -> Arc<Applications> {
        self.applications.load_full()
    }

    /// The application of that name.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<Arc<Application>> {
        self.applications.load().by_name.get(name).cloned()
    }

    /// Puts other applications in place of those that are there.
    pub fn replace_applications(&self, applications: Applications) {
        self.dispatcher.set_sources(applications.sources());
        self.applications.store(Arc::new(applications));
    }

    /// Sets how the topics are reached from now on.
    pub fn set_cluster(&self, cluster: Cluster) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// Whether callbacks are to be sent here: the producer has been warmed up or given up on, keys are there for one
    /// application at least, and the service is not shutting down. Kafka's absence does not count: what is sent is
    /// answered truthfully all the same.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.warm.load(Ordering::Relaxed) && !self.is_draining() && self.applications.load().keys.any_keys()
    }

    /// Records that the producer is warmed up, or that the warm-up failed.
    pub fn warmed_up(&self) {
        self.warm.store(true, Ordering::Relaxed);
    }

    /// Whether the service is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins the shutdown: no further callback is taken.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Room in memory for a body, none as yet.
    #[must_use]
    pub const fn reserve(&self) -> MemoryPermit<'_> {
        MemoryPermit { app_state: self, bytes: 0 }
    }

    /// All metrics in Prometheus' text format, as of now, one text for each family.
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

/// Room in memory, given back when dropped.
pub struct MemoryPermit<'a> {
    app_state: &'a AppState,
    bytes: usize,
}

impl MemoryPermit<'_> {
    /// Makes room for `bytes` more, which have arrived: what is only announced takes none, or a few who announce much
    /// and send nothing would keep everybody else out. Says whether there is room.
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
