//! The shutdown of the service: answers open callbacks, writes unconfirmed events to the journal, and closes
//! everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Service;
use super::control::{ControlMessages, wait_for_second_shutdown};
use super::dedup_rebuild::DedupRebuild;
use super::replicas::Replicas;
use crate::app_state::AppState;
use crate::delivery::dispatcher::Dispatcher;
use crate::http::Callbacks;
use crate::telemetry::log_code::LogCode;

/// Limit for the last answers after a second shutdown request.
const FINAL_ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);

/// How long callbacks wait for Kafka after the shutdown request. A healthy broker confirms within milliseconds;
/// otherwise the journal is faster.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for the producer once all its events are durable. Events that it still confirms are not published
/// again after the restart.
const FINAL_CONFIRMATIONS_TIMEOUT: Duration = Duration::from_millis(500);

/// Minimum time for the last journal writes, even if the drain timeout has passed.
const MIN_JOURNAL_WRITE_TIME: Duration = Duration::from_secs(1);

impl Service {
    /// Shuts down the service: reports not ready, accepts no more callbacks, answers the open ones, and empties the
    /// producer. Returns true if every event is confirmed or durable.
    pub(super) async fn drain(self, mut control_messages: ControlMessages) -> bool {
        let began = Instant::now();
        tracing::info!(code = LogCode::Draining.as_str(), "shutting down; callbacks in progress are finished");
        self.app_state.drain();
        let limit = self.config.server.drain_timeout;
        let until = answer_callbacks(&self.app_state, self.callbacks, (began, limit), &mut control_messages).await;
        let dispatcher = &self.app_state.dispatcher;
        tokio::select! {
            () = flush(dispatcher, until) => {}
            () = wait_for_second_shutdown(&mut control_messages) => {}
        }
        let lost = close(dispatcher, self.dedup_rebuild, self.replicas, until).await;
        if lost > 0 {
            tracing::error!(
                code = LogCode::NotKept.as_str(),
                events = lost,
                "events were neither confirmed nor journaled; they were answered as overloaded"
            );
        }
        self.console.close();
        tokio::join!(dispatcher.end_spans(), self.admin.stop());
        tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ended");
        lost == 0
    }
}

/// Answers open callbacks and stops the listener, until `limit` has passed or a second shutdown is requested. Returns
/// the latest time to wait for the producer.
async fn answer_callbacks(
    app_state: &AppState,
    callbacks: Callbacks,
    (began, limit): (Instant, Duration),
    control_messages: &mut ControlMessages,
) -> Instant {
    let orderly = async move {
        while app_state.metrics.callbacks_in_flight.get() > 0 {
            if began.elapsed() > CONFIRMATION_TIMEOUT {
                // Writes their events to the journal. They are answered once that is durable.
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
                tracing::warn!(code = LogCode::DrainTimeout.as_str(), "callbacks were still in progress");
            }
            began + limit
        }
        () = wait_for_second_shutdown(control_messages) => {
            let until = Instant::now();
            // Events that wait for Kafka are written to the journal and answered at once.
            app_state.dispatcher.expire_deadlines();
            let _ = timeout(FINAL_ANSWERS_TIMEOUT, &mut orderly).await;
            until
        }
    }
}

/// Closes the journal, the producer and the readers of the topics. Returns the number of events that are neither
/// confirmed nor durable.
async fn close(
    dispatcher: &Arc<Dispatcher>,
    dedup_rebuild: Arc<DedupRebuild>,
    replicas: Arc<Replicas>,
    until: Instant,
) -> usize {
    let following = tokio::task::spawn_blocking(move || dedup_rebuild.end());
    let (closing, rest) = (Arc::clone(dispatcher), until.saturating_duration_since(Instant::now()));
    let lost =
        tokio::task::spawn_blocking(move || closing.close(rest.max(MIN_JOURNAL_WRITE_TIME))).await.unwrap_or_default();
    // The follower only reads. If it does not stop in time, it ends with the process.
    let _ = timeout(FINAL_CONFIRMATIONS_TIMEOUT, following).await;
    // After the last delivery report, because the other replicas then take over the lanes of this one.
    let leaving = tokio::task::spawn_blocking(move || replicas.end());
    let _ = timeout(FINAL_CONFIRMATIONS_TIMEOUT, leaving).await;
    lost
}

/// Waits for delivery reports until `until`. Returns earlier if the broker is unavailable, or shortly after all events
/// are durable.
async fn flush(dispatcher: &Arc<Dispatcher>, until: Instant) {
    let began = Instant::now();
    loop {
        let waiting = Arc::clone(dispatcher);
        // In slices, because a flush cannot be shortened.
        let flush_slice = move || waiting.flush(Duration::from_millis(100)) == 0 || !waiting.may_publish();
        let flushed = tokio::task::spawn_blocking(flush_slice).await.unwrap_or(true);
        let now = Instant::now();
        if flushed || now >= until || (dispatcher.not_durable() == 0 && now > began + FINAL_CONFIRMATIONS_TIMEOUT) {
            return;
        }
        if now > began + CONFIRMATION_TIMEOUT {
            // Writes events that are still unconfirmed to the journal.
            dispatcher.expire_deadlines();
        }
    }
}
