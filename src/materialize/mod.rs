//! Maintains the state topics: reads the event topics as a consumer group, merges each event into the state of its
//! entity (`idaas-state`), and publishes the new state.
//!
//! The state records and the offsets of the events that they come from are committed in one Kafka transaction, so each
//! event counts exactly once. The working state of a partition is a cache on disk (`store`); after an assignment it is
//! brought up to date from the state topic (`restoring`). One thread reads and merges, another commits and writes the
//! working state (`committer`). Every failure ends in a new attempt: with the same clients, or with new ones.

mod batch;
mod committer;
mod gauges;
mod publishing;
mod restoring;
mod session;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::session::{Ended, Session};
use self::store::{Store, StoreError};
use crate::config::State;
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::materialize::StateMetrics;

/// The shortest and the longest pause before another attempt.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The name of the thread that reads and merges, for [`Liveness`](crate::telemetry::liveness::Liveness).
pub const THREAD: &str = "materialize";

/// Time within which that thread proceeds unless a call to Kafka's client never returns. Each call has a timeout, and
/// the longest sequence of calls, a transaction whose calls are repeated and that is then aborted, takes five minutes.
const STALL_LIMIT: Duration = Duration::from_secs(600);

/// Runs `materialize`: maintains the state topics until it is stopped.
pub struct Materializer {
    /// The cluster.
    pub cluster: Cluster,
    /// The consumer group that reads the event topics, and the directory of the working state.
    pub state: State,
    /// The topics.
    pub pairs: Arc<[TopicPair]>,
    /// Readiness and metrics for the admin listener.
    pub health: Arc<StateHealth>,
    /// Requests the end.
    pub stop: Arc<Stop>,
}

/// Readiness and metrics of `materialize`, which its admin listener shows.
pub struct StateHealth {
    /// The metrics of `materialize`.
    pub metrics: Arc<StateMetrics>,
    /// True once all assigned partitions are restored.
    pub ready: AtomicBool,
}

/// The working state cannot be kept in the directory.
#[derive(Debug)]
pub struct DirectoryError(String);

impl std::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DirectoryError {}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// Asks [`Materializer::run`] to stop, and wakes it if it waits.
#[derive(Default)]
pub struct Stop {
    requested: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Requests the end.
    pub fn request(&self) {
        *self.requested.lock() = true;
        self.changed.notify_all();
    }

    /// Returns true if the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.lock()
    }

    /// Waits for a while, or until the end is requested.
    fn wait(&self, limit: Duration) {
        let mut requested = self.requested.lock();
        if !*requested {
            self.changed.wait_for(&mut requested, limit);
        }
    }
}

/// A pause that doubles with each failure in a row.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(MIN_BACKOFF)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(MAX_BACKOFF);
        pause
    }

    fn reset(&mut self) {
        self.0 = MIN_BACKOFF;
    }
}

impl Materializer {
    /// Maintains the state topics until the end is requested.
    ///
    /// # Errors
    /// [`DirectoryError`] if the directory cannot be used at the start, or not again after a failure, because a call to
    /// Kafka's client that never returns keeps it in use.
    pub fn run(&self) -> Result<(), DirectoryError> {
        let open = || Store::open(&self.state.directory).map(Arc::new);
        let mut store = Some(open()?);
        let mut backoff = Backoff::default();
        while !self.stop.is_requested() {
            self.proceeds();
            let Some(current) = &store else {
                self.stop.wait(backoff.next());
                match open() {
                    Ok(opened) => store = Some(opened),
                    // This process itself had the lock, so only its end releases it.
                    Err(error @ StoreError::Locked(_)) => return Err(error.into()),
                    Err(error @ (StoreError::Io(..) | StoreError::Broken(_))) => {
                        tracing::error!(code = LogCode::StateStoreFailed.as_str(), "{error}");
                    }
                }
                continue;
            };
            let ended = match Session::start(self, current) {
                Ok(mut session) => {
                    let ended = session.run();
                    if session.has_progressed() {
                        backoff.reset();
                    }
                    ended
                }
                Err(failed) => Err(Ended::Failed(failed.to_string())),
            };
            self.show_ready(false);
            self.health.metrics.left_group();
            let Err(ended) = ended else { break };
            self.health.metrics.restarts.inc();
            match ended {
                Ended::Failed(problem) => {
                    tracing::warn!(
                        code = LogCode::StateRestarting.as_str(),
                        "the Kafka clients are replaced: {problem}"
                    );
                }
                Ended::Fenced(problem) => {
                    tracing::warn!(
                        code = LogCode::StateFenced.as_str(),
                        "another instance has the same transactional id, so this one uses a new id: {problem}"
                    );
                    if let Err(error) = current.renew_instance() {
                        tracing::error!(code = LogCode::StateStoreFailed.as_str(), "{error}");
                    }
                }
                Ended::Store(error) => {
                    tracing::error!(code = LogCode::StateStoreFailed.as_str(), "{error}");
                    store = None;
                }
            }
            self.stop.wait(backoff.next());
        }
        if let Some(Err(error)) = store.as_ref().map(|store| store.sync()) {
            tracing::warn!(code = LogCode::StateStoreFailed.as_str(), "the next start restores the state: {error}");
        }
        self.health.metrics.liveness.completed(THREAD);
        Ok(())
    }

    fn proceeds(&self) {
        self.health.metrics.liveness.proceeds(THREAD, STALL_LIMIT);
    }

    fn show_ready(&self, ready: bool) {
        self.health.ready.store(ready, Ordering::Relaxed);
        self.health.metrics.ready.set(ready.into());
    }

    fn pair(&self, pair: usize) -> Option<&TopicPair> {
        self.pairs.get(pair)
    }
}
