//! One cluster after the other: three brokers beside three more would make every test slow, and prove nothing. With
//! `BRIDGE_TEST_CLUSTERS=2`, two at a time.

use parking_lot::{Condvar, Mutex};

static RUNNING: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

/// The right to run a cluster, given back when dropped. Unlike a mutex's guard, it can move between threads.
pub(super) struct ClusterPermit(());

impl ClusterPermit {
    pub(super) fn wait() -> Self {
        let limit = std::env::var("BRIDGE_TEST_CLUSTERS").ok().and_then(|limit| limit.parse().ok()).unwrap_or(1);
        let mut running = RUNNING.lock();
        FREE.wait_while(&mut running, |running| *running >= limit);
        *running += 1;
        Self(())
    }
}

impl Drop for ClusterPermit {
    fn drop(&mut self) {
        *RUNNING.lock() -= 1;
        FREE.notify_one();
    }
}
