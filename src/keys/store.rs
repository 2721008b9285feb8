//! The current keys of one application, and the wish for newer ones: all that a request meets.
//!
//! Reading and wishing are lock-free and never wait. This file must never fetch, write or log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{Notify, watch};

use crate::jose::jws::KeySet;

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
    demanded: AtomicBool,
    wake: Notify,
    attempts: watch::Sender<u64>,
}

/// What somebody wished for since the last fetch began.
pub(super) struct Wishes {
    pub(super) unknown_kid: bool,
    pub(super) demanded: bool,
}

impl KeyStore {
    pub(super) fn new(keys: Option<Keys>) -> Self {
        Self {
            keys: ArcSwapOption::from(keys.map(Arc::new)),
            unknown_kid: AtomicBool::new(false),
            demanded: AtomicBool::new(false),
            wake: Notify::new(),
            attempts: watch::Sender::new(0),
        }
    }

    /// The keys as they are now; `None` until the first set arrived. Costs a few nanoseconds.
    pub fn current(&self) -> Guard<Option<Arc<Keys>>> {
        self.keys.load()
    }

    /// Says that a token named a key id that is not in the set, or came while there is no set: asks for a refresh.
    ///
    /// Never waits, and may be called as often as requests arrive: it causes at most one fetch per cool-down
    /// ([`Timing::cool_down`](super::Timing::cool_down)). A call during the cool-down is remembered and carried out
    /// at its end.
    pub fn unknown_kid(&self) {
        self.wish(&self.unknown_kid);
    }

    /// Asks for a refresh at once, without a cool-down: for the operator's reload, never for a request.
    pub fn refresh_now(&self) {
        self.wish(&self.demanded);
    }

    /// Returns when the first fetch has ended, well or not, or has ended already. At most the fetch's time-out.
    pub async fn first_attempt(&self) {
        self.attempts_to_be(1).await;
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

    fn wish(&self, wish: &AtomicBool) {
        // The load keeps the cache line shared while a wish is already there, as under a flood of forgeries.
        if !wish.load(Ordering::Acquire) && !wish.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    pub(super) fn wishes(&self) -> Wishes {
        Wishes {
            unknown_kid: self.unknown_kid.load(Ordering::Acquire),
            demanded: self.demanded.load(Ordering::Acquire),
        }
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        Wishes {
            unknown_kid: self.unknown_kid.swap(false, Ordering::AcqRel),
            demanded: self.demanded.swap(false, Ordering::AcqRel),
        }
    }

    /// Returns when a wish came that was not there before. Can return without one.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn replace(&self, keys: Keys) {
        self.keys.store(Some(Arc::new(keys)));
    }

    pub(super) fn attempt_ended(&self) {
        self.attempts.send_modify(|attempts| *attempts += 1);
    }

    async fn attempts_to_be(&self, least: u64) {
        // Cannot fail: the sender lives as long as the store.
        let _ = self.attempts.subscribe().wait_for(|attempts| *attempts >= least).await;
    }
}
