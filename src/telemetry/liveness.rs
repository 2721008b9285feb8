//! Detects long-lived threads and tasks that have ended unexpectedly, and threads that no longer proceed. If one has
//! ended, `/livez` reports that the process must be restarted, because nothing inside it can replace them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::log_code::LogCode;

/// The long-lived threads and tasks of the process.
#[derive(Debug, Default)]
pub struct Liveness {
    ended: Mutex<Vec<&'static str>>,
    /// The times until which threads have to report again that they proceed.
    expected: Mutex<BTreeMap<&'static str, Instant>>,
}

/// A guard that a long-lived thread or task holds while it runs.
#[derive(Debug)]
pub struct Alive {
    liveness: Arc<Liveness>,
    name: &'static str,
}

impl Liveness {
    /// Watches a thread or task with this name, which must hold the returned guard.
    #[must_use]
    pub fn watch(self: &Arc<Self>, name: &'static str) -> Alive {
        Alive { liveness: Arc::clone(self), name }
    }

    /// Returns the names of those that ended unexpectedly.
    #[must_use]
    pub fn ended(&self) -> Vec<&'static str> {
        self.ended.lock().clone()
    }

    /// Notes that the thread with this name proceeds. It must call this again within `limit`.
    pub fn proceeds(&self, name: &'static str, limit: Duration) {
        self.expected.lock().insert(name, Instant::now() + limit);
    }

    /// Notes that the thread with this name need not proceed any more.
    pub fn completed(&self, name: &'static str) {
        self.expected.lock().remove(name);
    }

    /// Returns the name of a thread that should have proceeded and has not.
    #[must_use]
    pub fn stalled(&self) -> Option<&'static str> {
        let now = Instant::now();
        self.expected.lock().iter().find(|(_, until)| **until <= now).map(|(name, _)| *name)
    }
}

impl Alive {
    /// Completes `work`, as a task that is watched until then.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let _alive = self;
        work.await
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // A thread that was not stopped ended by a panic.
        if std::thread::panicking() {
            tracing::error!(
                code = LogCode::ThreadEnded.as_str(),
                name = self.name,
                "a thread has ended unexpectedly; restart the process"
            );
            let mut ended = self.liveness.ended.lock();
            if !ended.contains(&self.name) {
                ended.push(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thread_that_panics_counts_as_ended() {
        let liveness = Arc::new(Liveness::default());
        let alive = liveness.watch("orderly");
        std::thread::spawn(move || drop(alive)).join().unwrap();
        assert!(liveness.ended().is_empty());
        for _ in 0..2 {
            let alive = liveness.watch("broken");
            let broken = std::thread::spawn(move || {
                let _alive = alive;
                panic!("on purpose");
            });
            assert!(broken.join().is_err());
        }
        assert_eq!(liveness.ended(), ["broken"]);
    }

    #[test]
    fn a_thread_that_does_not_proceed_is_stalled() {
        let liveness = Liveness::default();
        liveness.proceeds("steady", Duration::from_secs(600));
        assert_eq!(liveness.stalled(), None);
        liveness.proceeds("stuck", Duration::ZERO);
        assert_eq!(liveness.stalled(), Some("stuck"));
        liveness.proceeds("stuck", Duration::from_secs(600));
        assert_eq!(liveness.stalled(), None);
        liveness.proceeds("stuck", Duration::ZERO);
        liveness.completed("stuck");
        assert_eq!(liveness.stalled(), None);
    }

    #[tokio::test]
    async fn task_that_panics_counts_as_ended() {
        let liveness = Arc::new(Liveness::default());
        tokio::spawn(liveness.watch("orderly").during(async {})).await.unwrap();
        let broken = liveness.watch("broken").during(async { panic!("on purpose") });
        assert!(tokio::spawn(broken).await.is_err());
        assert_eq!(liveness.ended(), ["broken"]);
    }
}
