//! The current keys of one application, and the wish for newer ones: all that a request meets.
//!
//! Reading and wishing are lock-free and never wait. This file must never fetch, write or log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use idaas_callback::jose::jws::KeySet;
use tokio::sync::{Notify, watch};

/// A key set and when it was fetched; immutable, replaced whole.
pub struct Keys {
    /// The keys, their verifiers ready.
    pub set: Arc<KeySet>,
    /// When the source last gave this set. For a set from disk: when it was fetched by the process that wrote it.
    pub fetched_at: SystemTime,
}

/// The keys of one application.
pub struct KeyStore {
    keys: ArcSwapOption<Keys>,
    unknown_kid: AtomicBool,
    /// How often the operator has asked for a refresh, and how many of these times the last fetch began after.
    demands: AtomicU64,
    taken: AtomicU64,
    wake: Notify,
    ended: watch::Sender<Ended>,
}

/// What has ended.
#[derive(Default)]
struct Ended {
    attempts: u64,
    demands: u64,
}

/// What was requested since the last fetch began.
pub(super) struct RefreshRequests {
    pub(super) unknown_kid: bool,
    pub(super) demanded: bool,
}

impl KeyStore {
    pub(super) fn new(keys: Option<Keys>) -> Self {
        Self {
            keys: ArcSwapOption::from(keys.map(Arc::new)),
            unknown_kid: AtomicBool::new(false),
            demands: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            wake: Notify::new(),
            ended: watch::Sender::new(Ended::default()),
        }
    }

    /// The keys as they are now; `None` until the first set arrived. Costs a few nanoseconds.
    pub fn current(&self) -> Guard<Option<Arc<Keys>>> {
        self.keys.load()
    }

    /// Requests a refresh, because a token names a key id that is not in the set, or there is no set.
    ///
    /// Never waits, and may be called as often as requests arrive: it causes at most one fetch per cool-down
    /// ([`Timing::cool_down`](super::Timing::cool_down)). A call during the cool-down is remembered and carried out
    /// at its end.
    pub fn unknown_kid(&self) {
        // The load keeps the cache line shared while the wish is already there, as under a flood of forgeries.
        if !self.unknown_kid.load(Ordering::Acquire) && !self.unknown_kid.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Reports that a token names a known key id and its signature is not by that key: the key may have been replaced
    /// under the same id. Asks for a refresh exactly as [`KeyStore::unknown_kid`] does, and shares its cool-down, so a
    /// flood of forgeries causes no more fetches than one of unknown ids.
    pub fn bad_signature(&self) {
        self.unknown_kid();
    }

    /// Asks for a refresh at once, without a cool-down: for the operator's reload, never for a request.
    pub fn refresh_now(&self) {
        self.demands.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Returns when a fetch has ended, well or not, that began after the last [`KeyStore::refresh_now`].
    pub async fn refreshed(&self) {
        let demands = self.demands.load(Ordering::Acquire);
        self.wait(|ended| ended.demands >= demands).await;
    }

    /// Returns when the first fetch has ended, well or not, or has ended already. At most the fetch's time-out.
    pub async fn first_attempt(&self) {
        self.wait(|ended| ended.attempts > 0).await;
    }

    /// How many keys are there; 0 without a set.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.current().as_ref().map_or(0, |keys| keys.set.key_ids().len())
    }

    /// The time since the source last gave the current set; `None` without a set.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        // A clock that was set back makes the set new, not the service fail.
        self.current().as_ref().map(|keys| keys.fetched_at.elapsed().unwrap_or_default())
    }

    pub(super) fn requests(&self) -> RefreshRequests {
        RefreshRequests {
            unknown_kid: self.unknown_kid.load(Ordering::Acquire),
            demanded: self.demands.load(Ordering::Acquire) > self.taken.load(Ordering::Acquire),
        }
    }

    pub(super) fn take_requests(&self) -> RefreshRequests {
        RefreshRequests {
            unknown_kid: self.unknown_kid.swap(false, Ordering::AcqRel),
            demanded: {
                let demands = self.demands.load(Ordering::Acquire);
                demands > self.taken.swap(demands, Ordering::AcqRel)
            },
        }
    }

    /// Returns when a wish came that was not there before. Can return without one.
    pub(super) async fn requested(&self) {
        self.wake.notified().await;
    }

    pub(super) fn replace(&self, keys: Keys) {
        self.keys.store(Some(Arc::new(keys)));
    }

    pub(super) fn attempt_ended(&self) {
        self.ended.send_modify(|ended| {
            ended.attempts += 1;
            // One fetch at a time: what was taken was taken for this one.
            ended.demands = self.taken.load(Ordering::Acquire);
        });
    }

    async fn wait(&self, until: impl FnMut(&Ended) -> bool) {
        // Cannot fail: the sender lives as long as the store.
        let _ = self.ended.subscribe().wait_for(until).await;
    }
}
