//! Follows other replicas: records the events that they publish in the dedup cache.

use std::sync::Arc;
use std::time::Duration;

use super::{DedupRebuild, State};
use crate::app_state::AppState;
use crate::kafka::history::correlate::Known;
use crate::kafka::history::follow::Follower;
use crate::kafka::history::partition_reader::FetchProfile;
use crate::kafka::history::recent_records::Checkpoint;
use crate::telemetry::log_code::LogCode;

impl DedupRebuild {
    /// Follows other replicas from now on. Reads the tail again first, because there was no follower so far.
    pub(in crate::service) fn follow(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.follows, true) {
            (state.is_due, state.checkpoint, state.since) = (true, Checkpoint::default(), None);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Stops following other replicas, unless the configuration asks for it.
    pub(in crate::service) fn unfollow(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.follows, self.always_follows) || self.always_follows {
            return;
        }
        drop(state);
        // On a thread, because stopping the follower can take seconds.
        if let Some(follower) = self.follower.lock().take() {
            let _ = std::thread::Builder::new().name("follower's end".to_owned()).spawn(move || drop(follower));
        }
    }

    /// Sets how eagerly the follower fetches.
    pub(in crate::service) fn set_fetch_profile(&self, profile: FetchProfile) {
        self.state.lock().fetch_profile = profile;
        if let Some(follower) = &*self.follower.lock() {
            follower.set_fetch_profile(profile);
        }
    }

    /// Reads everything that the topics hold now. Returns true if nothing was left out; false if other replicas are not
    /// followed (yet), a read is still due, or a partition did not answer within `limit`. Blocks.
    pub(in crate::service) fn catch_up(&self, limit: Duration) -> bool {
        let is_due = self.state.lock().is_due;
        let follower = self.follower.lock().clone();
        follower.is_some_and(|follower| follower.catch_up(limit)) && !is_due
    }

    /// Stops following. Blocks until the follower has stopped.
    pub(in crate::service) fn end(&self) {
        drop(self.follower.lock().take());
    }

    /// Starts to follow the other replicas, unless a follower exists.
    pub(super) fn start_follower(self: &Arc<Self>, state: &mut State, app_state: &Arc<AppState>) {
        let mut follower = self.follower.lock();
        if follower.is_some() {
            return;
        }
        // Weak, because the follower must not keep the service alive.
        let liveness = &app_state.metrics.liveness;
        let (this, app_state, generation) = (Arc::downgrade(self), Arc::downgrade(app_state), state.generation);
        let observe = move |events: &[Known]| {
            if let (Some(this), Some(app_state)) = (this.upgrade(), app_state.upgrade()) {
                this.record_published(&app_state, generation, events);
            }
        };
        let cluster = self.cluster.lock().clone();
        match Follower::start(&cluster, self.scope.clone(), state.checkpoint.fork(), observe, liveness) {
            Ok(started) => {
                started.set_fetch_profile(state.fetch_profile);
                *follower = Some(Arc::new(started));
            }
            Err(fault) => {
                tracing::error!(code = LogCode::NotFollowing.as_str(), "cannot follow other replicas: {fault}")
            }
        }
    }
}
