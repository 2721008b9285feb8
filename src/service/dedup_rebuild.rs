//! The memory of verdicts over restarts and replicas: what our own topics say is learned before anything is replayed.
//!
//! It only avoids duplicates, so callbacks never wait for it, and the journal's events never for long. While Kafka is
//! away, callbacks go to the journal. The topics are read when it is back; partitions that do not answer, later.

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

/// How long to wait before partitions that did not answer are asked again: while replays wait for it, and later.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const LATE_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long replays wait for partitions that do not answer, while Kafka is available.
const MAX_HOLD: Duration = Duration::from_secs(10);

/// What there is to learn, and from where.
pub(super) struct DedupRebuild {
    cluster: Mutex<Cluster>,
    scope: LiveScope,
    replay_permit: Arc<ReplayPermit>,
    /// Whether other replicas are followed even if none is known.
    always_follows: bool,
    state: Mutex<State>,
    follower: Mutex<Option<Arc<Follower>>>,
    /// One attempt at a time.
    attempt: Mutex<()>,
    /// Wakes [`DedupRebuild::run_until_done`].
    changed: Notify,
}

struct State {
    /// Counts the clusters. What was read from an earlier one counts for nothing.
    generation: u64,
    /// Counts the changes of the scope.
    revision: u64,
    /// Whether something is left to read.
    is_due: bool,
    /// Whether other replicas are to be followed.
    follows: bool,
    pace: FetchProfile,
    /// Whether replays may go ahead.
    is_released: bool,
    /// From when on records are read, in milliseconds since 1970. It stays when the journal's oldest events are gone.
    since: Option<u64>,
    /// When Kafka was asked first, of an uninterrupted time of it being available.
    asked_since: Option<Instant>,
    /// What is read.
    resume: Checkpoint,
}

/// What came of one attempt.
enum Attempt {
    /// All that can be read is read, except these topics.
    Read(Backlog),
    /// Nothing can be read, now or later.
    Impossible(ReadFault),
    /// Kafka does not answer.
    Away,
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
                follows: config.dedupe.follow_replicas,
                pace: FetchProfile::Easy,
                is_released: false,
                since: None,
                asked_since: None,
                resume: Checkpoint::default(),
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
            (state.is_due, state.resume) = (true, Checkpoint::default());
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Another cluster answers at the same address: forgets what was learned from the old one, holds replays back, and
    /// reads the topics of the new one. [`DedupRebuild::run_until_done`] does the reading.
    pub(super) fn start_over(&self, app_state: &AppState) {
        let mut state = self.state.lock();
        state.generation += 1;
        (state.is_due, state.is_released, state.asked_since) = (true, false, None);
        (state.since, state.resume) = (None, Checkpoint::default());
        // Under the lock, so that nothing of the old cluster is learned afterwards.
        self.replay_permit.forget_history();
        app_state.dispatcher.cluster_replaced();
        drop(state);
        drop(self.follower.lock().take());
        self.changed.notify_one();
    }

    /// Reads with other settings from now on, or with other files or passwords behind the same settings. Blocks while a
    /// follower ends.
    pub(super) fn replace_clients(&self, cluster: Cluster) {
        *self.cluster.lock() = cluster;
        let mut state = self.state.lock();
        let follower = self.follower.lock().take();
        if follower.is_some() || state.is_due {
            // What an attempt with the old settings reads meanwhile counts for nothing. What was read before stays known.
            state.revision += 1;
            (state.is_due, state.resume, state.since) = (true, Checkpoint::default(), None);
        }
        drop(state);
        drop(follower);
        self.changed.notify_one();
    }

    /// Learns what the topics hold, and lets the journal's events go. [`DedupRebuild::run_until_done`] does what is left.
    pub(super) async fn mark_published(self: Arc<Self>, app_state: &Arc<AppState>) {
        let app_state = Arc::clone(app_state);
        // A panic in it has been logged; the next attempt goes on.
        let _ = tokio::task::spawn_blocking(move || self.read(&app_state)).await;
    }

    /// Learns what is left whenever Kafka is available, until the service ends.
    pub(super) async fn run_until_done(self: Arc<Self>, app_state: Arc<AppState>) {
        while !app_state.is_draining() {
            let (is_due, is_released) = {
                let mut state = self.state.lock();
                if !self.replay_permit.is_available() {
                    state.asked_since = None;
                }
                (state.is_due, state.is_released)
            };
            if is_due && self.replay_permit.is_available() {
                Arc::clone(&self).mark_published(&app_state).await;
            }
            let rest = if is_released { LATE_RETRY_INTERVAL } else { RETRY_INTERVAL };
            tokio::select! {
                () = sleep(rest) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// One attempt, and what follows from it. Blocks.
    fn read(self: &Arc<Self>, app_state: &Arc<AppState>) {
        let _one = self.attempt.lock();
        let (generation, revision, window, mut resume) = {
            let mut state = self.state.lock();
            state.asked_since.get_or_insert_with(Instant::now);
            let since = *state.since.get_or_insert_with(|| since(app_state));
            (state.generation, state.revision, window(since), std::mem::take(&mut state.resume))
        };
        let scope = self.scope.load();
        let observe = |known: &[Known]| self.publish_batch(app_state, generation, known);
        let cluster = self.cluster.lock().clone();
        let attempt = match read_tail(&cluster, &scope, window, &mut resume, observe) {
            Ok(tail) => Attempt::Read(tail),
            Err(ReadFault::Unreachable(_)) => Attempt::Away,
            Err(fault @ (ReadFault::Settings(_) | ReadFault::NotAllowed)) => Attempt::Impossible(fault),
        };
        let mut state = self.state.lock();
        if (state.generation, state.revision) != (generation, revision) {
            self.changed.notify_one();
            return;
        }
        state.resume = resume;
        self.conclude(&mut state, &attempt, app_state);
        if state.follows && state.is_released {
            self.begin_to_follow(&mut state, app_state);
        }
    }

    /// Logs what came of an attempt, and lets replays go ahead if there is nothing to wait for.
    fn conclude(&self, state: &mut State, attempt: &Attempt, app_state: &AppState) {
        let is_late = state.asked_since.is_some_and(|since| since.elapsed() >= MAX_HOLD);
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
                    code = LogCode::MemoryNotRebuilt.as_str(),
                    "what was published before the start is unknown, so a re-delivery of it becomes a second record: {fault}"
                );
                true
            }
            Attempt::Away => {
                if is_late && !state.is_released {
                    tracing::warn!(
                        code = LogCode::MemoryIncomplete.as_str(),
                        "no topic could be read; a re-delivery of what was published becomes a second record. Reading \
                         goes on in the background"
                    );
                }
                is_late
            }
        };
        if may_release && !std::mem::replace(&mut state.is_released, true) {
            self.replay_permit.history_read(&app_state.dispatcher);
        }
    }

    /// Passes on what became known, unless it is from a cluster that has been replaced.
    fn publish_batch(&self, app_state: &AppState, generation: u64, known: &[Known]) {
        let state = self.state.lock();
        if state.generation == generation {
            app_state.dispatcher.mark_published(known.iter().map(learned));
        }
    }
}

fn learned(event: &Known) -> (EventKey, Published) {
    (event.key, event.learned)
}
