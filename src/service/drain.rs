//! The shutdown of the service: callbacks are answered, what is unconfirmed goes to the journal, and everything is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Service;
use super::control::{ControlMessages, second_shutdown};
use super::dedup_rebuild::DedupRebuild;
use super::replicas::Replicas;
use crate::app_state::AppState;
use crate::delivery::dispatcher::Dispatcher;
use crate::http::Callbacks;
use crate::telemetry::log_code::LogCode;

/// How long the last answers may take once nothing is waited for any longer.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long callbacks wait for Kafka after the end was ordered. A broker that works confirms in milliseconds; for another
/// one the journal is quicker.
const CONFIRMATIONS: Duration = Duration::from_secs(2);

/// How long the producer is waited for when everything that it holds is durable: what it still confirms is not published
/// again by the next start.
const LAST_CONFIRMATIONS: Duration = Duration::from_millis(500);

/// How long the last writes may take beyond the drain's limit.
const LAST_WRITES: Duration = Duration::from_secs(1);

impl Service {
    /// Shuts the service down: not ready, no new callbacks, those in progress answered, the producer emptied. Returns true
    /// if every event is confirmed or durable.
    pub(super) async fn drain(self, mut control_messages: ControlMessages) -> bool {
        let began = Instant::now();
        tracing::info!(code = LogCode::Draining.as_str(), "shutting down; what is being worked on is finished");
        self.app_state.drain();
        let limit = self.config.server.drain_timeout;
        let until = answer_callbacks(&self.app_state, self.callbacks, (began, limit), &mut control_messages).await;
        let dispatcher = &self.app_state.dispatcher;
        tokio::select! {
            () = flush(dispatcher, until) => {}
            () = second_shutdown(&mut control_messages) => {}
        }
        let lost = close(dispatcher, self.dedup_rebuild, self.replicas, until).await;
        if lost > 0 {
            tracing::error!(
                code = LogCode::NotKept.as_str(),
                events = lost,
                "events were neither confirmed nor journaled; IDaaS was told so"
            );
        }
        self.console.close();
        tokio::join!(dispatcher.end_spans(), self.admin.stop());
        tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ended");
        lost == 0
    }
}

/// Answers the callbacks in progress and stops the listener, within the limit or until a second shutdown is ordered.
/// Returns until when the producer may be waited for.
async fn answer_callbacks(
    app_state: &AppState,
    callbacks: Callbacks,
    (began, limit): (Instant, Duration),
    control_messages: &mut ControlMessages,
) -> Instant {
    let orderly = async move {
        while app_state.metrics.callbacks_in_flight.get() > 0 {
            if began.elapsed() > CONFIRMATIONS {
                // Their events are written, and answered as soon as they are durable.
                app_state.dispatcher.expire_deadlines();
                sleep(Duration::from_millis(100)).await;
            } else {
                sleep(Duration::from_millis(10)).await;
            }
        }
        callbacks.stop().await;
    };
    tokio::pin!(orderly);
    tokio::select! {
        ended = timeout(limit, &mut orderly) => {
            if ended.is_err() {
                tracing::warn!(code = LogCode::DrainTimeout.as_str(), "callbacks were still being worked on");
            }
            began + limit
        }
        () = second_shutdown(control_messages) => {
            let until = Instant::now();
            // What waits for Kafka is written and answered at once.
            app_state.dispatcher.expire_deadlines();
            let _ = timeout(LAST_ANSWERS, &mut orderly).await;
            until
        }
    }
}

/// Closes the journal, the producer and the readers of the topics. Returns how many events are neither confirmed nor
/// durable.
async fn close(
    dispatcher: &Arc<Dispatcher>,
    dedup_rebuild: Arc<DedupRebuild>,
    replicas: Arc<Replicas>,
    until: Instant,
) -> usize {
    let following = tokio::task::spawn_blocking(move || dedup_rebuild.end());
    let (closing, rest) = (Arc::clone(dispatcher), until.saturating_duration_since(Instant::now()));
    let lost = tokio::task::spawn_blocking(move || closing.close(rest.max(LAST_WRITES))).await.unwrap_or_default();
    // It only reads: if it hangs, it ends with the process.
    let _ = timeout(LAST_CONFIRMATIONS, following).await;
    // After the last report, because the other replicas go on with the lanes of this one.
    let leaving = tokio::task::spawn_blocking(move || replicas.end());
    let _ = timeout(LAST_CONFIRMATIONS, leaving).await;
    lost
}

/// Waits for what the producer holds: not for a broker that is away, and not for long once the journal has all of it.
async fn flush(dispatcher: &Arc<Dispatcher>, until: Instant) {
    let began = Instant::now();
    loop {
        let waiting = Arc::clone(dispatcher);
        // In slices, because a flush cannot be shortened.
        let flush_slice = move || waiting.flush(Duration::from_millis(100)) == 0 || !waiting.is_connected();
        let flushed = tokio::task::spawn_blocking(flush_slice).await.unwrap_or(true);
        let now = Instant::now();
        if flushed || now >= until || (dispatcher.not_durable() == 0 && now > began + LAST_CONFIRMATIONS) {
            return;
        }
        if now > began + CONFIRMATIONS {
            // What the broker has not confirmed by now is written.
            dispatcher.expire_deadlines();
        }
    }
}
