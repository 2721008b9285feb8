//! Retries quarantined callbacks after a start and after each reload, because both can bring the missing key.
//!
//! Callbacks are handed over in the order in which they were received, several at a time. Lanes keep the order of each
//! entity's events, so one callback need not be confirmed before the next is handed over.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app_state::AppState;
use crate::journal::quarantine::Quarantined;
use crate::journal::quarantine_replay::QuarantineReplay;

/// Maximum number of callbacks in progress, and of their events and bytes. A single callback may exceed the last two.
/// The limits leave capacity for live events.
const MAX_CALLBACKS: usize = 64;
const MAX_EVENTS: usize = 1000;
const MAX_BYTES: usize = 8 << 20;

/// Time before the next attempt after the outbox was full: doubles from the first to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How a pass over the quarantine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplayOutcome {
    /// Every callback was tried, or the service is shutting down.
    Done,
    /// An event was not accepted, or the quarantine could not be read. Later callbacks were not tried, so that none
    /// overtakes an earlier one.
    Interrupted,
}

/// Publishes the callbacks that can be read by now. The others stay in quarantine.
pub(super) async fn run(app_state: Arc<AppState>) {
    let mut pause = FIRST_PAUSE;
    while replay_once(&app_state).await == ReplayOutcome::Interrupted {
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn replay_once(app_state: &Arc<AppState>) -> ReplayOutcome {
    let Some(journal) = app_state.dispatcher.journal() else { return ReplayOutcome::Done };
    let Ok(mut replay) = QuarantineReplay::begin(journal).await else { return ReplayOutcome::Interrupted };
    let application = |callback: &Quarantined| {
        let application = app_state.addressee(callback)?;
        Some((application.name.clone(), Arc::clone(&application.policy)))
    };
    let mut in_progress = InProgress::default();
    loop {
        let callback = match replay.next(application).await {
            Ok(Some(callback)) => callback,
            Ok(None) => break,
            Err(_) => {
                in_progress.is_rejected = true;
                break;
            }
        };
        if app_state.is_draining() {
            return ReplayOutcome::Done;
        }
        let (events, bytes) = (callback.prepared.events.len(), callback.bytes);
        in_progress.wait_for_capacity(events, bytes).await;
        if in_progress.is_rejected {
            break;
        }
        let app_state = Arc::clone(app_state);
        let mut publishing = Box::pin(async move { app_state.publish_readable(callback).await.is_safe() });
        // The first poll hands over the events, which keeps the callbacks in order. The rest runs concurrently.
        match poll_fn(|context| Poll::Ready(publishing.as_mut().poll(context))).await {
            Poll::Ready(safe) => in_progress.is_rejected |= !safe,
            Poll::Pending => in_progress.add(publishing, events, bytes),
        }
    }
    in_progress.wait_for_all().await;
    app_state.dispatcher.publish_quarantined();
    if in_progress.is_rejected { ReplayOutcome::Interrupted } else { ReplayOutcome::Done }
}

/// The callbacks whose events are handed over but not yet resolved.
#[derive(Default)]
struct InProgress {
    tasks: JoinSet<(bool, usize, usize)>,
    events: usize,
    bytes: usize,
    /// True if an event of any callback was not accepted, or the quarantine could not be read.
    is_rejected: bool,
}

impl InProgress {
    fn add(&mut self, task: impl Future<Output = bool> + Send + 'static, events: usize, bytes: usize) {
        self.events += events;
        self.bytes += bytes;
        self.tasks.spawn(async move { (task.await, events, bytes) });
    }

    async fn wait_for_capacity(&mut self, events: usize, bytes: usize) {
        while self.tasks.len() >= MAX_CALLBACKS || self.events + events > MAX_EVENTS || self.bytes + bytes > MAX_BYTES {
            if !self.join_one().await {
                return;
            }
        }
    }

    async fn wait_for_all(&mut self) {
        while self.join_one().await {}
    }

    /// Waits until one callback is resolved. Returns false if there is none.
    async fn join_one(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next().await else { return false };
        if let Ok((safe, events, bytes)) = ended {
            self.events -= events;
            self.bytes -= bytes;
            self.is_rejected |= !safe;
        }
        true
    }
}
