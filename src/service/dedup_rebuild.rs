//! Rebuilds the dedup cache from the event topics, so that duplicates are detected across restarts and replicas.
//!
//! The cache only avoids duplicates. Callbacks therefore never wait for the rebuild, and replay waits for it only for a
//! limited time. While Kafka is unavailable, callbacks go to the journal; the topics are read once Kafka is back.
//! Partitions that do not answer are read later.

mod following;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox::{EventKey, Published};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::replicas::ReplayPermit;
use super::tail_window::{log, show_last_events, since, window};
use crate::app_state::AppState;
use crate::config::Config;
use crate::kafka::client::settings::Cluster;
use crate::kafka::history::ReadFault;
use crate::kafka::history::correlate::Known;
use crate::kafka::history::follow::Follower;
use crate::kafka::history::our_topics::{LiveScope, Scope};
use crate::kafka::history::partition_reader::FetchProfile;
use crate::kafka::history::recent_records::{Backlog, Checkpoint, read_tail};
use crate::telemetry::log_code::LogCode;

/// Time before partitions that did not answer are read again: while replay waits for them, and afterwards.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const LATE_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long replay waits for partitions that do not answer, while Kafka is available.
const MAX_REPLAY_DELAY: Duration = Duration::from_secs(10);

/// The state of the rebuild, and the follower that keeps the cache current afterwards.
pub(super) struct DedupRebuild {
    cluster: Mutex<Cluster>,
    scope: LiveScope,
    replay_permit: Arc<ReplayPermit>,
    /// True if the configuration asks to follow other replicas even when none is known.
    always_follows: bool,
    state: Mutex<State>,
    follower: Mutex<Option<Arc<Follower>>>,
    /// Held during an attempt, so that only one runs at a time.
    attempt: Mutex<()>,
    /// Wakes [`DedupRebuild::run_until_shutdown`].
    changed: Notify,
}

struct State {
    /// Incremented when the cluster is replaced. Results from an earlier generation are discarded.
    generation: u64,
    /// Incremented when the topics or the Kafka clients change. An attempt that began before is repeated.
    revision: u64,
    /// True if topics have still to be read.
    is_due: bool,
    /// Whether this user may not read everything. Other settings can change that.
    is_denied: bool,
    /// True if other replicas are to be followed.
    follows: bool,
    fetch_profile: FetchProfile,
    /// True once replay no longer waits for the rebuild.
    is_released: bool,
    /// Records from this time on are read, in milliseconds since 1970. Fixed at the first attempt, so it does not move
    /// when the oldest journal entries are deleted.
    since: Option<u64>,
    /// Time of the first attempt in the current period of availability.
    started_at: Option<Instant>,
    /// How far each partition has been read.
    checkpoint: Checkpoint,
}

/// The outcome of one attempt.
enum Attempt {
    /// The topics were read, except for the ones listed in the backlog.
    Read(Backlog),
    /// The topics cannot be read, and a retry would not help.
    Impossible(ReadFault),
    /// Kafka does not answer.
    Unreachable,
}

impl DedupRebuild {
    pub(super) fn new(config: &Config, replay_permit: &Arc<ReplayPermit>) -> Arc<Self> {
        Arc::new(Self {
            cluster: Mutex::new(super::wiring::cluster(config)),
            scope: LiveScope::new(Scope::of(config)),
            replay_permit: Arc::clone(replay_permit),
            always_follows: config.dedupe.follow_replicas,
            state: Mutex::new(State {
                generation: 0,
                revision: 0,
                is_due: true,
                is_denied: false,
                follows: config.dedupe.follow_replicas,
                fetch_profile: FetchProfile::Relaxed,
                is_released: false,
                since: None,
                started_at: None,
                checkpoint: Checkpoint::default(),
            }),
            follower: Mutex::new(None),
            attempt: Mutex::new(()),
            changed: Notify::new(),
        })
    }

    /// Applies changed topics and applications, also to reading in progress. Reads again if some are new.
    pub(super) fn rescope(&self, config: &Config) {
        let scope = Scope::of(config);
        let is_covered = self.scope.load().covers(&scope);
        self.scope.store(scope);
        if !is_covered {
            let mut state = self.state.lock();
            state.revision += 1;
            (state.is_due, state.checkpoint) = (true, Checkpoint::default());
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Handles another cluster at the same address: discards the results from the old one, pauses replay, and schedules
    /// a read of the new topics by [`DedupRebuild::run_until_shutdown`]. Blocks until the follower has stopped, which takes
    /// some seconds while brokers do not answer.
    pub(super) fn start_over(&self, app_state: &AppState) {
        let mut state = self.state.lock();
        state.generation += 1;
        (state.is_due, state.is_released, state.started_at) = (true, false, None);
        (state.since, state.checkpoint) = (None, Checkpoint::default());
        // Under the lock, so that no result from the old cluster is recorded afterwards.
        self.replay_permit.forget_history();
        app_state.dispatcher.cluster_replaced();
        drop(state);
        // In its own statement, because the lock must not be held until the follower has stopped.
        let follower = self.follower.lock().take();
        self.changed.notify_one();
        drop(follower);
    }

    /// Uses other settings from now on, or the same settings with changed files or passwords. Blocks until the follower
    /// has stopped.
    pub(super) fn replace_kafka_clients(&self, cluster: Cluster) {
        *self.cluster.lock() = cluster;
        let mut state = self.state.lock();
        let follower = self.follower.lock().take();
        if follower.is_some() || state.is_due || state.is_denied {
            // An attempt in progress is repeated with the new settings. Events that are already known stay known.
            state.revision += 1;
            (state.is_due, state.checkpoint, state.since) = (true, Checkpoint::default(), None);
        }
        drop(state);
        drop(follower);
        self.changed.notify_one();
    }

    /// Makes one attempt to read the topics, and enables replay if possible. [`DedupRebuild::run_until_shutdown`] makes the
    /// others.
    pub(super) async fn attempt_once(self: Arc<Self>, app_state: &Arc<AppState>) {
        let app_state = Arc::clone(app_state);
        // A panic in it has been logged; the next attempt continues.
        let _ = tokio::task::spawn_blocking(move || self.read(&app_state)).await;
    }

    /// Makes attempts while something is unread and Kafka is available, until the shutdown.
    pub(super) async fn run_until_shutdown(self: Arc<Self>, app_state: Arc<AppState>) {
        while !app_state.is_draining() {
            let (is_due, is_released) = {
                let mut state = self.state.lock();
                if !self.replay_permit.is_available() {
                    state.started_at = None;
                }
                (state.is_due, state.is_released)
            };
            if is_due && self.replay_permit.is_available() {
                Arc::clone(&self).attempt_once(&app_state).await;
            }
            let interval = if is_released { LATE_RETRY_INTERVAL } else { RETRY_INTERVAL };
            tokio::select! {
                () = sleep(interval) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Makes one attempt and handles its outcome. Blocks.
    fn read(self: &Arc<Self>, app_state: &Arc<AppState>) {
        let _one = self.attempt.lock();
        // Without the lock, because this waits for the journal.
        let known = self.state.lock().since;
        let since = known.unwrap_or_else(|| since(app_state));
        let (generation, revision, window, mut checkpoint) = {
            let mut state = self.state.lock();
            state.started_at.get_or_insert_with(Instant::now);
            let since = *state.since.get_or_insert(since);
            (state.generation, state.revision, window(since), std::mem::take(&mut state.checkpoint))
        };
        let scope = self.scope.load();
        let observe = |known: &[Known]| self.record_published(app_state, generation, known);
        let cluster = self.cluster.lock().clone();
        let attempt = match read_tail(&cluster, &scope, window, &mut checkpoint, observe) {
            Ok(tail) => Attempt::Read(tail),
            Err(ReadFault::Unreachable(_)) => Attempt::Unreachable,
            Err(fault @ (ReadFault::Settings(_) | ReadFault::NotAllowed)) => Attempt::Impossible(fault),
        };
        let mut state = self.state.lock();
        if (state.generation, state.revision) != (generation, revision) {
            self.changed.notify_one();
            return;
        }
        state.checkpoint = checkpoint;
        self.handle_outcome(&mut state, &attempt, app_state);
        if state.follows && state.is_released {
            self.start_follower(&mut state, app_state);
        }
    }

    /// Logs the outcome of an attempt, and enables replay if there is nothing more to wait for.
    fn handle_outcome(&self, state: &mut State, attempt: &Attempt, app_state: &AppState) {
        let is_late = state.started_at.is_some_and(|since| since.elapsed() >= MAX_REPLAY_DELAY);
        state.is_denied = match attempt {
            Attempt::Read(tail) => !tail.denied.is_empty(),
            Attempt::Impossible(_) => true,
            Attempt::Unreachable => state.is_denied,
        };
        let may_release = match attempt {
            Attempt::Read(tail) => {
                show_last_events(tail, app_state);
                state.is_due = !tail.unread.is_empty();
                if !state.is_due || (is_late && !state.is_released) {
                    log(tail);
                }
                !state.is_due || is_late
            }
            Attempt::Impossible(fault) => {
                state.is_due = false;
                tracing::error!(
                    code = LogCode::DedupCacheNotRebuilt.as_str(),
                    "the events published before the start are unknown, so a redelivery of one becomes a second \
                    record: {fault}"
                );
                true
            }
            Attempt::Unreachable => {
                if is_late && !state.is_released {
                    tracing::warn!(
                        code = LogCode::DedupCacheIncomplete.as_str(),
                        "no topic could be read; a redelivery of a published event becomes a second record. Reading \
                        continues in the background"
                    );
                }
                is_late
            }
        };
        if may_release && !std::mem::replace(&mut state.is_released, true) {
            self.replay_permit.history_read(&app_state.dispatcher);
        }
    }

    /// Passes events on to the outbox, unless the cluster that they are from has been replaced.
    fn record_published(&self, app_state: &AppState, generation: u64, known: &[Known]) {
        let state = self.state.lock();
        if state.generation == generation {
            app_state.dispatcher.mark_published(known.iter().map(to_published));
        }
    }
}

fn to_published(event: &Known) -> (EventKey, Published) {
    (event.key, event.published)
}
