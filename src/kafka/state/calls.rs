//! How long a call to librdkafka has been running. Its calls have timeouts, but `send_offsets_to_transaction` was seen
//! not to return after a broker was killed.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The call that is in progress, for another thread to watch.
#[derive(Debug, Default)]
pub struct CallClock {
    since: Mutex<Option<Instant>>,
}

impl CallClock {
    /// Makes a call.
    pub fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        *self.since.lock() = Some(Instant::now());
        let result = call();
        *self.since.lock() = None;
        result
    }

    /// Returns the time for which the current call has been running. Zero if there is none.
    #[must_use]
    pub fn running(&self) -> Duration {
        self.since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
