//! One cluster after the other: three brokers beside three more would make every test slow, and prove nothing.

use parking_lot::{Condvar, Mutex};

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

/// The right to run a cluster, given back when dropped. Unlike a mutex's guard, it can move between threads.
pub(super) struct Turn(());

impl Turn {
    pub(super) fn wait() -> Self {
        let mut taken = TAKEN.lock();
        FREE.wait_while(&mut taken, |taken| *taken);
        *taken = true;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock() = false;
        FREE.notify_one();
    }
}
