//! Callbacks that waited in quarantine, tried again: after a start and after each reload, as both can bring a key.
//!
//! They are handed over in the order in which they were accepted, several at a time: the lanes keep the order of each
//! entity's events, so there is no need to wait for one callback's confirmation before the next is handed over.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app_state::AppState;
use crate::journal::quarantine_replay::QuarantineReplay;

/// How many callbacks are on their way at a time, with how many events and bytes; one alone may have more. Live events
/// need room beside them.
const CALLBACKS: usize = 64;
const EVENTS: usize = 1000;
const BYTES: usize = 8 << 20;

/// How long to wait before what was not taken is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How a walk through the quarantine has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplayOutcome {
    /// Everything was tried, or the service ends.
    Done,
    /// There was no room for more events. What comes later was not tried, so that it does not overtake.
    NoRoom,
}

/// Publishes what can be read by now. What cannot stays where it is.
pub(super) async fn run(app_state: Arc<AppState>) {
    let mut pause = FIRST_PAUSE;
    while replay_once(&app_state).await == ReplayOutcome::NoRoom {
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn replay_once(app_state: &Arc<AppState>) -> ReplayOutcome {
    let Some(journal) = app_state.dispatcher.journal() else { return ReplayOutcome::Done };
    let is_configured = |name: &str| app_state.application(name).is_some();
    let Ok(mut reopening) = QuarantineReplay::begin(Arc::clone(&journal), is_configured).await else {
        return ReplayOutcome::NoRoom;
    };
    let policy = |name: &str| Some(Arc::clone(&app_state.application(name)?.policy));
    let mut on_their_way = InProgress::default();
    while let Some(reopened) = reopening.next(policy).await {
        if app_state.is_draining() {
            return ReplayOutcome::Done;
        }
        let (events, bytes) = (reopened.prepared.events.len(), reopened.bytes);
        on_their_way.make_room(events, bytes).await;
        if on_their_way.refused {
            break;
        }
        let app_state = Arc::clone(app_state);
        let mut publishing = Box::pin(async move { app_state.publish_reopened(reopened).await.is_safe() });
        // The first step hands the events over, so the callbacks are in order; then each waits by itself.
        match poll_fn(|context| Poll::Ready(publishing.as_mut().poll(context))).await {
            Poll::Ready(safe) => on_their_way.refused |= !safe,
            Poll::Pending => on_their_way.add(publishing, events, bytes),
        }
    }
    on_their_way.wait_for_all().await;
    if on_their_way.refused { ReplayOutcome::NoRoom } else { ReplayOutcome::Done }
}

/// The callbacks whose events have been handed over.
#[derive(Default)]
struct InProgress {
    tasks: JoinSet<(bool, usize, usize)>,
    events: usize,
    bytes: usize,
    /// Whether any was refused.
    refused: bool,
}

impl InProgress {
    fn add(&mut self, task: impl Future<Output = bool> + Send + 'static, events: usize, bytes: usize) {
        self.events += events;
        self.bytes += bytes;
        self.tasks.spawn(async move { (task.await, events, bytes) });
    }

    async fn make_room(&mut self, events: usize, bytes: usize) {
        while self.tasks.len() >= CALLBACKS || self.events + events > EVENTS || self.bytes + bytes > BYTES {
            if !self.one_has_ended().await {
                return;
            }
        }
    }

    async fn wait_for_all(&mut self) {
        while self.one_has_ended().await {}
    }

    /// Waits for one. Returns false if there is none.
    async fn one_has_ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next().await else { return false };
        if let Ok((safe, events, bytes)) = ended {
            self.events -= events;
            self.bytes -= bytes;
            self.refused |= !safe;
        }
        true
    }
}
