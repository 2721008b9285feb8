//! The current keys of one application, and pending refresh requests.
//!
//! Reading keys and requesting a refresh are lock-free and never wait. This module must never fetch, write or log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use idaas_callback::jose::jws::KeySet;
use tokio::sync::{Notify, watch};

/// A key set and the time at which it was fetched. Immutable.
pub struct Keys {
    /// The keys.
    pub set: Arc<KeySet>,
    /// When the source last returned this set. For a set from disk: when it was fetched before the restart.
    pub fetched_at: SystemTime,
}

/// The keys of one application.
pub struct KeyStore {
    keys: ArcSwapOption<Keys>,
    unknown_kid: AtomicBool,
    /// The number of refreshes requested by operators, and the number that the last fetch covers.
    refreshes_requested: AtomicU64,
    refreshes_taken: AtomicU64,
    wake: Notify,
    ended: watch::Sender<Ended>,
}

/// The number of ended fetches, and of operators' requests that they cover.
#[derive(Default)]
struct Ended {
    attempts: u64,
    refreshes_requested: u64,
}

/// What was requested since the last fetch began.
pub(super) struct RefreshRequests {
    pub(super) unknown_kid: bool,
    pub(super) operator_requested: bool,
}

impl KeyStore {
    pub(super) fn new(keys: Option<Keys>) -> Self {
        Self {
            keys: ArcSwapOption::from(keys.map(Arc::new)),
            unknown_kid: AtomicBool::new(false),
            refreshes_requested: AtomicU64::new(0),
            refreshes_taken: AtomicU64::new(0),
            wake: Notify::new(),
            ended: watch::Sender::new(Ended::default()),
        }
    }

    /// Returns the current keys. `None` before the first set has arrived. Takes a few nanoseconds.
    pub fn current(&self) -> Guard<Option<Arc<Keys>>> {
        self.keys.load()
    }

    /// Requests a refresh, because a token names a key id that is not in the set, or there is no set.
    ///
    /// Never waits, and can be called for each request: it causes at most one fetch per cool-down
    /// ([`Timing::cool_down`](super::Timing::cool_down)). A request during the cool-down is carried out at its end.
    pub fn refresh_after_unknown_kid(&self) {
        // The load keeps the cache line shared if a request is already pending, as in a flood of forgeries.
        if !self.unknown_kid.load(Ordering::Acquire) && !self.unknown_kid.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Reports that a token names a known key id and its signature is not by that key: the key may have been replaced
    /// under the same id. Asks for a refresh exactly as [`KeyStore::refresh_after_unknown_kid`] does, and shares its
    /// cool-down, so a flood of forgeries causes no more fetches than one of unknown ids.
    pub fn refresh_after_bad_signature(&self) {
        self.refresh_after_unknown_kid();
    }

    /// Requests a refresh without a cool-down. For an operator's reload, never for a request.
    pub fn refresh_now(&self) {
        self.refreshes_requested.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits until a fetch that began after the last [`KeyStore::refresh_now`] has ended, successfully or not.
    pub async fn refreshed(&self) {
        let refreshes_requested = self.refreshes_requested.load(Ordering::Acquire);
        self.wait(|ended| ended.refreshes_requested >= refreshes_requested).await;
    }

    /// Waits until the first fetch has ended, successfully or not.
    pub async fn first_attempt(&self) {
        self.wait(|ended| ended.attempts > 0).await;
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.current().as_ref().map_or(0, |keys| keys.set.key_ids().len())
    }

    /// Returns the time since the source last returned the current set. `None` without a set.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        // If the clock was set back, the set counts as new.
        self.current().as_ref().map(|keys| keys.fetched_at.elapsed().unwrap_or_default())
    }

    pub(super) fn requests(&self) -> RefreshRequests {
        RefreshRequests {
            unknown_kid: self.unknown_kid.load(Ordering::Acquire),
            operator_requested: self.refreshes_requested.load(Ordering::Acquire)
                > self.refreshes_taken.load(Ordering::Acquire),
        }
    }

    pub(super) fn take_requests(&self) -> RefreshRequests {
        RefreshRequests {
            unknown_kid: self.unknown_kid.swap(false, Ordering::AcqRel),
            operator_requested: {
                let refreshes_requested = self.refreshes_requested.load(Ordering::Acquire);
                refreshes_requested > self.refreshes_taken.swap(refreshes_requested, Ordering::AcqRel)
            },
        }
    }

    /// Waits for a new request. Can return without one.
    pub(super) async fn requested(&self) {
        self.wake.notified().await;
    }

    pub(super) fn replace(&self, keys: Keys) {
        self.keys.store(Some(Arc::new(keys)));
    }

    pub(super) fn attempt_ended(&self) {
        self.ended.send_modify(|ended| {
            ended.attempts += 1;
            // Fetches do not overlap, so this fetch covers everything that was taken.
            ended.refreshes_requested = self.refreshes_taken.load(Ordering::Acquire);
        });
    }

    async fn wait(&self, until: impl FnMut(&Ended) -> bool) {
        // Cannot fail: the sender lives as long as the store.
        let _ = self.ended.subscribe().wait_for(until).await;
    }
}
