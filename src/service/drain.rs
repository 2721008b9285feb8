//! The end of the service: callbacks are answered, what is unconfirmed goes to the journal, and everything is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Service;
use super::orders::{Orders, told_again};
use crate::outbox::dispatch::Dispatcher;

/// How long the last answers may take once nothing is waited for any longer.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

impl Service {
    /// Ends the service: not ready, no new callbacks, those that are there finished, the producer emptied.
    pub(super) async fn drain(self, mut orders: Orders) -> bool {
        let began = Instant::now();
        let limit = self.config.server.drain_timeout;
        tracing::info!(code = "draining", "shutting down; what is being worked on is finished");
        self.bridge.drain();
        let bridge = Arc::clone(&self.bridge);
        let callbacks = self.callbacks;
        let orderly = async move {
            while bridge.metrics.callbacks_in_flight.get() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
            callbacks.stop().await;
        };
        let mut until = began + limit;
        tokio::pin!(orderly);
        tokio::select! {
            ended = timeout(limit, &mut orderly) => {
                if ended.is_err() {
                    tracing::warn!(code = "drain_timeout", "callbacks were still being worked on");
                }
            }
            () = told_again(&mut orders) => {
                until = Instant::now();
                // What waits for Kafka is written and answered at once.
                self.bridge.dispatcher.hurry();
                let _ = timeout(LAST_ANSWERS, &mut orderly).await;
            }
        }
        let dispatcher = &self.bridge.dispatcher;
        tokio::select! {
            () = flushed(dispatcher, until) => {}
            () = told_again(&mut orders) => {}
        }
        let (closing, recollection, replicas) = (Arc::clone(dispatcher), self.recollection, self.replicas);
        let close = move || {
            recollection.end();
            let left = closing.close();
            // After the last report, because the others go on with the lanes of this replica.
            replicas.end();
            left
        };
        let left = tokio::task::spawn_blocking(close).await.unwrap_or_default();
        if left > 0 {
            tracing::error!(
                code = "not_kept",
                events = left,
                "events were neither confirmed nor journaled; IDaaS was told so"
            );
        }
        self.admin.stop().await;
        tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ended");
        left == 0
    }
}

/// Waits for what the producer holds; not for a broker that is away.
async fn flushed(dispatcher: &Arc<Dispatcher>, until: Instant) {
    loop {
        let dispatcher = Arc::clone(dispatcher);
        // In slices, because a flush that has begun cannot be told to hurry.
        let flush = move || dispatcher.flush(Duration::from_millis(100)) == 0 || !dispatcher.is_connected();
        if tokio::task::spawn_blocking(flush).await.unwrap_or(true) || Instant::now() >= until {
            return;
        }
    }
}
