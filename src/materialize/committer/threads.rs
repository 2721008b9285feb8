//! What the two threads do: commit transactions, and write to the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};

use idaas_state::Time;
use parking_lot::Mutex;

use super::super::batch::Batch;
use super::super::store::{Checkpoint, Encoder, SYNC_INTERVAL, Store, Update};
use super::{Done, RestoredRows, Transactions};
use crate::clock;
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::state::{Membership, Partition, WriteError};

/// Size of the changes in memory at which they are written, in bytes. While they are written, as many can gather again.
const MAX_GATHERED: usize = 16 << 20;

/// The same during a restore. The more rows are written at once, the more of them share a page.
const MAX_RESTORED: usize = 32 << 20;

/// A job of the committing thread. Jobs are done in their order.
pub(super) enum Job {
    Commit { batch: Arc<Batch>, membership: Arc<Membership>, checkpoints: BTreeMap<Partition, Checkpoint> },
    Restore(RestoredRows),
}

/// A request to the thread that writes to the store.
pub(super) enum Write {
    /// Write what has gathered.
    Gathered,
    /// The same. It includes the last rows of a restored partition.
    Restored { partition: Partition, checkpoint: Checkpoint },
}

/// The thread that writes to the store.
pub(super) struct Writing {
    pub(super) store: Arc<Store>,
    pub(super) pairs: Arc<[TopicPair]>,
    pub(super) results: Sender<Done>,
    pub(super) given_up: Arc<Mutex<bool>>,
}

impl Writing {
    /// Writes the gathered changes on request, and every [`SYNC_INTERVAL`].
    pub(super) fn run(&self, requests: &Receiver<Write>) {
        loop {
            let restored = match requests.recv_timeout(SYNC_INTERVAL) {
                Ok(Write::Gathered) | Err(RecvTimeoutError::Timeout) => None,
                Ok(Write::Restored { partition, checkpoint }) => Some((partition, checkpoint)),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if *self.given_up.lock() {
                return;
            }
            let done = match self.store.write() {
                Ok(()) => restored.map(|(partition, checkpoint)| self.restored(partition, checkpoint)),
                Err(error) => Some(Done::Failed(error)),
            };
            let failed = matches!(done, Some(Done::Failed(_)));
            let unheard = done.is_some_and(|done| self.results.send(done).is_err());
            if failed || unheard {
                return;
            }
        }
    }

    /// The result for a restored partition. Only the tables know how many entities there are.
    fn restored(&self, partition: Partition, checkpoint: Checkpoint) -> Done {
        let topic = self.pairs.get(partition.pair).map_or("", |pair| pair.states.as_str());
        match self.store.checkpoint(topic, partition.number) {
            Ok(counted) => Done::Restored { partition, checkpoint: counted.unwrap_or(checkpoint), is_last: true },
            Err(error) => Done::Failed(error),
        }
    }
}

pub(super) struct Worker {
    pub(super) writer: Box<dyn Transactions>,
    pub(super) store: Arc<Store>,
    pub(super) pairs: Arc<[TopicPair]>,
    pub(super) encoder: Encoder,
    /// Requests a write of the gathered changes.
    pub(super) full: SyncSender<Write>,
    pub(super) given_up: Arc<Mutex<bool>>,
}

impl Worker {
    pub(super) fn run(&mut self, jobs: &Receiver<Job>, results: &Sender<Done>) {
        while let Ok(job) = jobs.recv() {
            let done = match job {
                Job::Commit { batch, membership, checkpoints } => Some(self.commit(&batch, &membership, &checkpoints)),
                Job::Restore(rows) => self.restore(rows),
            };
            if done.is_some_and(|done| results.send(done).is_err()) {
                return;
            }
        }
    }

    fn commit(&mut self, batch: &Batch, membership: &Membership, before: &BTreeMap<Partition, Checkpoint>) -> Done {
        let ends = match self.writer.commit(&batch.outputs, &batch.next, membership) {
            Ok(ends) => ends,
            Err(problem) => return Done::NotCommitted(problem),
        };
        let saved_at = clock::now();
        let pairs = Arc::clone(&self.pairs);
        let (mut updates, mut checkpoints) = (Vec::new(), Vec::new());
        for (partition, input) in &batch.next {
            let (Some(pair), Some(known)) = (pairs.get(partition.pair), before.get(partition)) else { continue };
            let position = ends.get(partition).copied().unwrap_or(known.position);
            let live = known.live.saturating_add_signed(batch.created(*partition));
            let checkpoint = Checkpoint { input: *input, position, saved_at, live, ..*known };
            updates.push(Update {
                topic: &pair.states,
                number: partition.number,
                rows: batch.encoded(*partition, &mut self.encoder),
                checkpoint,
                forget_before: batch.forget_before(*partition),
            });
            checkpoints.push((*partition, checkpoint));
        }
        let given_up = self.given_up.lock();
        if *given_up {
            return Done::NotCommitted(WriteError::Aborted("another session has taken over".to_owned()));
        }
        let gathered = self.store.apply(updates);
        drop(given_up);
        if gathered >= MAX_GATHERED {
            // If the other thread has ended, it has sent the failure.
            let _ = self.full.send(Write::Gathered);
        }
        Done::Committed(checkpoints)
    }

    /// Returns `None` if the other thread sends the result.
    fn restore(&mut self, restored: RestoredRows) -> Option<Done> {
        let RestoredRows { partition, rows, checkpoint, is_last } = restored;
        let pairs = Arc::clone(&self.pairs);
        let rows = rows.into_iter().map(|(key, row)| (key, self.encoder.row(&row))).collect();
        let gathered = self.store.apply(vec![Update {
            topic: pairs.get(partition.pair).map_or("", |pair| pair.states.as_str()),
            number: partition.number,
            rows,
            checkpoint: Checkpoint { saved_at: clock::now(), ..checkpoint },
            forget_before: Time::from_millis(i64::MIN),
        }]);
        if is_last {
            let _ = self.full.send(Write::Restored { partition, checkpoint });
            return None;
        }
        if gathered >= MAX_RESTORED {
            let _ = self.full.send(Write::Gathered);
        }
        Some(Done::Restored { partition, checkpoint, is_last })
    }
}
