//! A limit on the brokers that run at a time. More of them would make every test slow, and prove nothing.

use parking_lot::{Condvar, Mutex};

/// One cluster of three, and a single broker.
const MAX_BROKERS: usize = 4;

static QUEUE: Mutex<Queue> = Mutex::new(Queue { next: 0, first: 0, free: MAX_BROKERS });
static CHANGED: Condvar = Condvar::new();

/// Whoever waits longest comes next, so that a cluster of three waits no longer than a single broker.
struct Queue {
    /// The number of the next that waits.
    next: u64,
    /// The number of the first that waits.
    first: u64,
    free: usize,
}

/// The right to run that many brokers, given back when dropped. Unlike a mutex's guard, it can move between threads.
pub(super) struct Turn(usize);

impl Turn {
    pub(super) fn wait(brokers: usize) -> Self {
        let mut queue = QUEUE.lock();
        let number = queue.next;
        queue.next += 1;
        CHANGED.wait_while(&mut queue, |queue| queue.first != number || queue.free < brokers);
        queue.first += 1;
        queue.free -= brokers;
        CHANGED.notify_all();
        Self(brokers)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        QUEUE.lock().free += self.0;
        CHANGED.notify_all();
    }
}
