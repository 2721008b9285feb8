//! The threads that commit transactions and then update the working state, in this order. Meanwhile the session merges
//! the next events.
//!
//! At most one transaction is in progress. The store never contains a row of a transaction that was not committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use idaas_state::Time;

use super::Materializer;
use super::batch::Batch;
use super::restoring::now;
use super::store::{Checkpoint, Encoder, Row, SYNC_INTERVAL, Store, StoreError, Update};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::state::{Failed, Membership, Partition, WriteError, Writer};

/// Size of the changes in memory at which they are written, in bytes. While they are written, as many can gather again.
const MAX_GATHERED: usize = 16 << 20;

/// The same during a restore. The more rows are written at once, the more of them share a page.
const MAX_RESTORED: usize = 32 << 20;

/// Maximum number of waiting jobs. The session waits before it hands over more.
const MAX_WAITING: usize = 1;

/// A job of the committing thread. Jobs are done in their order.
enum Job {
    Commit { batch: Arc<Batch>, membership: Arc<Membership>, checkpoints: BTreeMap<Partition, Checkpoint> },
    Restore(RestoredRows),
}

/// A request to the thread that writes to the store.
enum Write {
    /// Write what has gathered.
    Gathered,
    /// The same. It includes the last rows of a restored partition.
    Restored { partition: Partition, checkpoint: Checkpoint },
}

/// Rows of a partition that is being restored.
pub(super) struct RestoredRows {
    pub(super) partition: Partition,
    /// Keys and rows in the order of the topic.
    pub(super) rows: Vec<(Vec<u8>, Row)>,
    /// The checkpoint after these rows.
    pub(super) checkpoint: Checkpoint,
    /// True if these are the last rows of the partition.
    pub(super) is_last: bool,
}

/// The result of a job.
pub(super) enum Done {
    /// The transaction was committed. Contains the new checkpoints of its partitions.
    Committed(Vec<(Partition, Checkpoint)>),
    /// The transaction was not committed.
    NotCommitted(WriteError),
    /// The rows are in the store, or gather there.
    Restored { partition: Partition, checkpoint: Checkpoint, is_last: bool },
    /// The store failed.
    Failed(StoreError),
}

/// The threads and their jobs. Dropping it waits until all jobs are done.
pub(super) struct Committer {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(owner: &Materializer, store: &Arc<Store>, writer: Writer) -> Result<Self, Failed> {
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let (results, done) = channel();
        // No capacity: a request for a write waits until the write before is over.
        let (full, writes) = sync_channel(0);
        let mut worker = Worker {
            writer,
            store: Arc::clone(store),
            pairs: Arc::clone(&owner.pairs),
            encoder: Encoder::default(),
            full,
        };
        let writing = Writing { store: Arc::clone(store), pairs: Arc::clone(&owner.pairs), results: results.clone() };
        let threads = vec![
            thread(owner, "state store", move || writing.run(&writes))?,
            thread(owner, "state committer", move || worker.run(&waiting, &results))?,
        ];
        Ok(Self { jobs: Some(jobs), done, threads })
    }

    /// Commits a batch. `checkpoints` are those before it.
    pub(super) fn commit(
        &self,
        batch: Arc<Batch>,
        membership: Arc<Membership>,
        checkpoints: BTreeMap<Partition, Checkpoint>,
    ) -> Result<(), Failed> {
        self.hand_over(Job::Commit { batch, membership, checkpoints })
    }

    /// Writes rows of a restore. Waits while too many jobs wait.
    pub(super) fn restore(&self, rows: RestoredRows) -> Result<(), Failed> {
        self.hand_over(Job::Restore(rows))
    }

    fn hand_over(&self, job: Job) -> Result<(), Failed> {
        let jobs = self.jobs.as_ref().ok_or_else(Failed::ended)?;
        jobs.send(job).map_err(|_| Failed::ended())
    }

    /// Returns the next result if there is one.
    pub(super) fn poll(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Waits for the next result. Must be called only if a result is outstanding.
    pub(super) fn wait(&self) -> Result<Done, Failed> {
        self.done.recv().map_err(|_| Failed::ended())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn thread(
    owner: &Materializer,
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Failed> {
    let alive = owner.health.metrics.liveness.watch(name);
    let work = move || {
        work();
        drop(alive);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| Failed::thread(&error))
}

/// The thread that writes to the store.
struct Writing {
    store: Arc<Store>,
    pairs: Arc<[TopicPair]>,
    results: Sender<Done>,
}

impl Writing {
    /// Writes the gathered changes on request, and every [`SYNC_INTERVAL`].
    fn run(&self, requests: &Receiver<Write>) {
        loop {
            let restored = match requests.recv_timeout(SYNC_INTERVAL) {
                Ok(Write::Gathered) | Err(RecvTimeoutError::Timeout) => None,
                Ok(Write::Restored { partition, checkpoint }) => Some((partition, checkpoint)),
                Err(RecvTimeoutError::Disconnected) => return,
            };
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

struct Worker {
    writer: Writer,
    store: Arc<Store>,
    pairs: Arc<[TopicPair]>,
    encoder: Encoder,
    /// Requests a write of the gathered changes.
    full: SyncSender<Write>,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>, results: &Sender<Done>) {
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
        let saved_at = now();
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
        if self.store.apply(updates) >= MAX_GATHERED {
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
            checkpoint: Checkpoint { saved_at: now(), ..checkpoint },
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
