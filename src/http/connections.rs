//! Counts the open connections of a server.
//!
//! A connection counts from the end of the handshake until it is closed. Its data is not touched.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::Extensions;
use tokio::time::sleep;

/// How long the count must stay zero: longer than the time between accepting and counting a connection.
const IDLE_PERIOD: Duration = Duration::from_millis(40);
/// Time between checks of the count.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The number of open connections. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<AtomicUsize>);

/// Decrements the count when dropped.
struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Returns a callback for `on_connect`. It increments the count and stores a guard with the connection that
    /// decrements it.
    pub(super) fn counter(&self) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
        let count = Arc::clone(&self.0);
        move |_, data| {
            count.fetch_add(1, Ordering::Relaxed);
            data.insert(Connection(Arc::clone(&count)));
        }
    }

    /// Waits until there are no connections for [`IDLE_PERIOD`].
    pub(super) async fn all_closed(&self) {
        let mut quiet = Duration::ZERO;
        while quiet < IDLE_PERIOD {
            sleep(CHECK_INTERVAL).await;
            quiet = if self.0.load(Ordering::Relaxed) == 0 { quiet + CHECK_INTERVAL } else { Duration::ZERO };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_connection_is_waited_for() {
        let connections = Connections::default();
        let (mut one, mut other) = (Extensions::new(), Extensions::new());
        let count = connections.counter();
        count(&(), &mut one);
        count(&(), &mut other);
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.all_closed().await }
        });
        drop(one);
        sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
    }
}
