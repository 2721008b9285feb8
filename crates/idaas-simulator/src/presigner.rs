//! Prepares callbacks before they are sent, on separate threads.
//!
//! Signing costs more than everything else that the sender does. If it were done while sending, it would count as the
//! bridge's latency, and would slow down a run with a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};

use super::fault::Request;
use super::redelivery::Batch;
use super::run::RunSettings;
use super::sender::Sender;

/// A callback that is ready to be posted.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    pub(super) request: Request,
}

/// The finished callbacks.
pub(super) struct PresignedQueue {
    pub(super) callbacks: mpsc::Receiver<Prepared>,
    full: Arc<Notify>,
}

impl PresignedQueue {
    /// Waits until all callbacks are created, or the queue is full.
    pub(super) async fn filled(&self) {
        self.full.notified().await;
    }
}

/// Starts to make the callbacks of `plan`. The threads end when all are made, or when the receiver is dropped.
pub(super) fn open(sender: &Arc<Sender>, plan: &Arc<RunSettings>) -> PresignedQueue {
    let total = plan.callbacks();
    let capacity = plan.presigned().min(usize::try_from(total).unwrap_or(usize::MAX)).max(1);
    let (finished, callbacks) = mpsc::channel(capacity);
    let (next, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let full = Arc::new(Notify::new());
    // A short run keeps the order of its events; a long one uses all processors.
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
                // If signing fails, the queue ends early, and the run with it.
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
