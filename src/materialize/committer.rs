//! The threads that commit transactions, and then bring the working state to what was committed, in this order. So the
//! session merges the next events while the cluster confirms the last ones and the disk takes earlier ones.
//!
//! At most one transaction is in progress. The store never has a row of a transaction that was not committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use idaas_state::Time;

use super::Materializer;
use super::batch::Batch;
use super::restoring::now;
use super::store::{Checkpoint, Encoded, Encoder, SYNC_INTERVAL, Store, StoreError, Update};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::state::{Failed, Membership, Partition, WriteError, Writer};

/// How many bytes of changes gather in memory before they are written: twice as many are kept while others are written.
const MAX_GATHERED: usize = 16 << 20;

/// The same during a restore. The more rows are written at once, the more of them share a page. Nothing gathers
/// meanwhile.
const MAX_RESTORED: usize = 64 << 20;

/// How much work can wait. The session waits before it hands over more.
const MAX_WAITING: usize = 1;

/// Work, in its order.
enum Job {
    Commit { batch: Arc<Batch>, membership: Arc<Membership>, checkpoints: BTreeMap<Partition, Checkpoint> },
    Restore(RestoredRows),
}

/// Rows of a partition that is being restored.
pub(super) struct RestoredRows {
    pub(super) partition: Partition,
    /// Keys and rows in their order.
    pub(super) rows: Vec<(Vec<u8>, Encoded)>,
    /// How far the state goes with them.
    pub(super) checkpoint: Checkpoint,
    /// Whether the partition is restored.
    pub(super) is_last: bool,
}

/// The result of a job.
pub(super) enum Done {
    /// The transaction was committed. The new checkpoints of its partitions.
    Committed(Vec<(Partition, Checkpoint)>),
    /// It was not.
    NotCommitted(WriteError),
    /// The rows are in the store.
    Restored { partition: Partition, checkpoint: Checkpoint, is_last: bool },
    /// The store failed.
    Failed(StoreError),
}

/// The threads and their work. Dropping it waits until all work is done.
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
        // No capacity: who asks for a write waits until the one before is over.
        let (full, writes) = sync_channel(0);
        let mut worker = Worker {
            writer,
            store: Arc::clone(store),
            pairs: Arc::clone(&owner.pairs),
            encoder: Encoder::default(),
            full,
        };
        let (written, write_results) = (Arc::clone(store), results.clone());
        let threads = vec![
            thread(owner, "state store", move || write(&written, &writes, &write_results))?,
            thread(owner, "state committer", move || worker.run(&waiting, &results))?,
        ];
        Ok(Self { jobs: Some(jobs), done, threads })
    }

    /// Commits what a batch changes. `checkpoints` are those before it.
    pub(super) fn commit(
        &self,
        batch: Arc<Batch>,
        membership: Arc<Membership>,
        checkpoints: BTreeMap<Partition, Checkpoint>,
    ) -> Result<(), Failed> {
        self.hand_over(Job::Commit { batch, membership, checkpoints })
    }

    /// Writes rows of a restore. Waits while too much is to be written.
    pub(super) fn restore(&self, rows: RestoredRows) -> Result<(), Failed> {
        self.hand_over(Job::Restore(rows))
    }

    fn hand_over(&self, job: Job) -> Result<(), Failed> {
        let jobs = self.jobs.as_ref().ok_or_else(Failed::ended)?;
        jobs.send(job).map_err(|_| Failed::ended())
    }

    /// The next result, if there is one already.
    pub(super) fn poll(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Waits for the next result. Only while there is work.
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

/// Writes the gathered changes to the store on request, and every [`SYNC_INTERVAL`].
fn write(store: &Store, writes: &Receiver<()>, results: &Sender<Done>) {
    while let Ok(()) | Err(RecvTimeoutError::Timeout) = writes.recv_timeout(SYNC_INTERVAL) {
        if let Err(error) = store.write() {
            let _ = results.send(Done::Failed(error));
            return;
        }
    }
}

struct Worker {
    writer: Writer,
    store: Arc<Store>,
    pairs: Arc<[TopicPair]>,
    encoder: Encoder,
    /// Asks for what has gathered in the store to be written.
    full: SyncSender<()>,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>, results: &Sender<Done>) {
        while let Ok(job) = jobs.recv() {
            let done = match job {
                Job::Commit { batch, membership, checkpoints } => self.commit(&batch, &membership, &checkpoints),
                Job::Restore(rows) => self.restore(rows),
            };
            // What waits behind a failure belongs to a state that does not come about.
            let failed = matches!(done, Done::Failed(_));
            if results.send(done).is_err() || failed {
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
            // If nothing is written any more, the failure is already known.
            let _ = self.full.send(());
        }
        Done::Committed(checkpoints)
    }

    fn restore(&mut self, restored: RestoredRows) -> Done {
        let RestoredRows { partition, rows, checkpoint, is_last } = restored;
        let pairs = Arc::clone(&self.pairs);
        let topic = pairs.get(partition.pair).map_or("", |pair| pair.states.as_str());
        let gathered = self.store.apply(vec![Update {
            topic,
            number: partition.number,
            rows,
            checkpoint: Checkpoint { saved_at: now(), ..checkpoint },
            forget_before: Time::from_millis(i64::MIN),
        }]);
        if !is_last && gathered < MAX_RESTORED {
            return Done::Restored { partition, checkpoint, is_last };
        }
        // Only the tables know how many entities there are.
        let counted = self.store.write().and_then(|()| self.store.checkpoint(topic, partition.number));
        match counted {
            Ok(counted) => Done::Restored { partition, checkpoint: counted.unwrap_or(checkpoint), is_last },
            Err(error) => Done::Failed(error),
        }
    }
}
