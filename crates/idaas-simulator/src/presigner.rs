//! Prepares callbacks before they are sent, on separate threads.
//!
//! A signature costs more than all else that the sender does; made on the way it would be measured as the bridge's
//! latency, and would hold back a run that shall keep a pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};

use super::fault::Request;
use super::redelivery::Batch;
use super::run::RunSettings;
use super::sender::Sender;

/// A callback that only has to be posted.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    pub(super) request: Request,
}

/// The finished callbacks as they come.
pub(super) struct PresignedQueue {
    pub(super) callbacks: mpsc::Receiver<Prepared>,
    full: Arc<Notify>,
}

impl PresignedQueue {
    /// Waits until all callbacks are made, or as many as are kept in stock.
    pub(super) async fn filled(&self) {
        self.full.notified().await;
    }
}

/// Starts to make the callbacks of `plan`. The threads end when all are made, or when the receiver is dropped.
pub(super) fn open(sender: &Arc<Sender>, plan: &Arc<RunSettings>) -> PresignedQueue {
    let total = plan.callbacks();
    let capacity = plan.stock().min(usize::try_from(total).unwrap_or(usize::MAX)).max(1);
    let (finished, callbacks) = mpsc::channel(capacity);
    let (next, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let full = Arc::new(Notify::new());
    // A short run keeps the order of its events; a long one uses the machine.
    let threads = if total <= 500 { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    for _ in 0..threads {
        let (sender, plan, finished) = (Arc::clone(sender), Arc::clone(plan), finished.clone());
        let (next, made, full) = (Arc::clone(&next), Arc::clone(&made), Arc::clone(&full));
        std::thread::spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    break;
                }
                let batch = plan.batch(number);
                // A signature that cannot be made ends the stock early, and the run with it.
                let Ok(request) = sender.request(&batch.events, batch.fault) else { break };
                if finished.blocking_send(Prepared { batch, request }).is_err() {
                    break;
                }
                if made.fetch_add(1, Ordering::Relaxed) + 1 == capacity as u64 {
                    full.notify_one();
                }
            }
            full.notify_one();
        });
    }
    PresignedQueue { callbacks, full }
}
