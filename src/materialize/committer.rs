//! The threads that commit transactions and then update the working state, in this order. Meanwhile the session merges
//! the next events.
//!
//! At most one transaction is in progress. The store never contains a row of a transaction that was not committed.
//!
//! A call to Kafka's client that never returns does not stop the instance: the committer is given up with its thread.
//! The producer of the next session has the same transactional id, so the broker rejects what the old one still sends.

mod threads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use self::threads::{Job, Worker, Writing};
use super::batch::Batch;
use super::store::{Checkpoint, Encoder, Row, Store, StoreError};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::state::{CallClock, Failed, Membership, Output, Partition, WriteError, Writer};
use crate::telemetry::liveness::Liveness;

/// Maximum number of waiting jobs. The session waits before it hands over more.
const MAX_WAITING: usize = 1;

/// Interval at which a thread that waits for the committing thread checks that it is not hung.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The same interval while it waits for space in the queue, or for the end of the thread.
const SHORT_INTERVAL: Duration = Duration::from_millis(1);

/// Commits transactions. Implemented by [`Writer`].
pub(super) trait Transactions: Send {
    /// Publishes records and commits offsets in one transaction; see [`Writer::commit`].
    fn commit(
        &self,
        outputs: &[Output],
        offsets: &BTreeMap<Partition, i64>,
        membership: &Membership,
    ) -> Result<BTreeMap<Partition, i64>, WriteError>;

    /// Returns the clock of its calls.
    fn calls(&self) -> Arc<CallClock>;
}

impl Transactions for Writer {
    fn commit(
        &self,
        outputs: &[Output],
        offsets: &BTreeMap<Partition, i64>,
        membership: &Membership,
    ) -> Result<BTreeMap<Partition, i64>, WriteError> {
        Self::commit(self, outputs, offsets, membership)
    }

    fn calls(&self) -> Arc<CallClock> {
        Self::calls(self)
    }
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

/// The threads and their jobs. Dropping it waits until all jobs are done, unless a call to Kafka's client hangs.
pub(super) struct Committer {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    committing: Option<JoinHandle<()>>,
    storing: Option<JoinHandle<()>>,
    calls: Arc<CallClock>,
    /// Time after which a call that has not returned never will.
    hung_call: Duration,
    /// True once it is given up. The committing thread holds the lock while it changes the store.
    given_up: Arc<Mutex<bool>>,
}

impl Committer {
    pub(super) fn start(
        liveness: &Arc<Liveness>,
        pairs: &Arc<[TopicPair]>,
        store: &Arc<Store>,
        writer: Box<dyn Transactions>,
        hung_call: Duration,
    ) -> Result<Self, Failed> {
        let (calls, given_up) = (writer.calls(), Arc::new(Mutex::new(false)));
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let (results, done) = channel();
        // No capacity: a request for a write waits until the write before is over.
        let (full, writes) = sync_channel(0);
        let mut worker = Worker {
            writer,
            store: Arc::clone(store),
            pairs: Arc::clone(pairs),
            encoder: Encoder::default(),
            full,
            given_up: Arc::clone(&given_up),
        };
        let writing = Writing {
            store: Arc::clone(store),
            pairs: Arc::clone(pairs),
            results: results.clone(),
            given_up: Arc::clone(&given_up),
        };
        let storing = Some(thread(liveness, "state store", move || writing.run(&writes))?);
        let committing = Some(thread(liveness, "state committer", move || worker.run(&waiting, &results))?);
        Ok(Self { jobs: Some(jobs), done, committing, storing, calls, hung_call, given_up })
    }

    fn is_hung(&self) -> bool {
        self.calls.running() >= self.hung_call
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
        let mut job = job;
        loop {
            job = match jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) if self.is_hung() => return Err(Failed::hung()),
                Err(TrySendError::Full(job)) => job,
                Err(TrySendError::Disconnected(_)) => return Err(Failed::ended()),
            };
            std::thread::sleep(SHORT_INTERVAL);
        }
    }

    /// Returns the next result if there is one.
    ///
    /// # Errors
    /// A call to Kafka's client hangs.
    pub(super) fn poll(&self) -> Result<Option<Done>, Failed> {
        match self.done.try_recv() {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.is_hung() => Err(Failed::hung()),
            Err(_) => Ok(None),
        }
    }

    /// Waits for the next result. Must be called only if a result is outstanding.
    ///
    /// # Errors
    /// The thread has ended, or a call to Kafka's client hangs.
    pub(super) fn wait(&self) -> Result<Done, Failed> {
        loop {
            match self.done.recv_timeout(WATCH_INTERVAL.min(self.hung_call)) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Timeout) if self.is_hung() => return Err(Failed::hung()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failed::ended()),
            }
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(committing) = self.committing.take() {
            while !committing.is_finished() && !self.is_hung() {
                std::thread::sleep(SHORT_INTERVAL);
            }
            if committing.is_finished() {
                let _ = committing.join();
            } else {
                // From here on, the store belongs to the next session.
                *self.given_up.lock() = true;
            }
        }
        if let Some(storing) = self.storing.take() {
            let _ = storing.join();
        }
    }
}

fn thread(
    liveness: &Arc<Liveness>,
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Failed> {
    let alive = liveness.watch(name);
    let work = move || {
        work();
        drop(alive);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| Failed::thread(&error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    const PARTITION: Partition = Partition { pair: 0, number: 0 };
    const SHORT: Duration = Duration::from_millis(20);

    /// Commits as soon as it is released.
    struct Held {
        calls: Arc<CallClock>,
        released: Receiver<()>,
    }

    impl Transactions for Held {
        fn commit(
            &self,
            _: &[Output],
            _: &BTreeMap<Partition, i64>,
            _: &Membership,
        ) -> Result<BTreeMap<Partition, i64>, WriteError> {
            let _ = self.calls.during(|| self.released.recv());
            Ok(BTreeMap::from([(PARTITION, 9)]))
        }

        fn calls(&self) -> Arc<CallClock> {
            Arc::clone(&self.calls)
        }
    }

    struct Stage {
        store: Arc<Store>,
        committer: Committer,
        release: Sender<()>,
        _directory: tempfile::TempDir,
    }

    /// A committer with one batch.
    fn stage(hung_call: Duration) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path()).unwrap());
        let (release, released) = channel();
        let pair = TopicPair { events: "e".to_owned(), states: "s".to_owned(), entity: idaas_state::Entity::User };
        let writer = Box::new(Held { calls: Arc::default(), released });
        let committer = Committer::start(&Arc::default(), &[pair].into(), &store, writer, hung_call).unwrap();
        let mut batch = Batch::default();
        batch.next.insert(PARTITION, 5);
        let checkpoint = Checkpoint { input: 4, position: 8, saved_at: 0, live: 0, deleted: 0 };
        let checkpoints = BTreeMap::from([(PARTITION, checkpoint)]);
        committer.commit(Arc::new(batch), Arc::new(Membership::of_nobody()), checkpoints).unwrap();
        Stage { store, committer, release, _directory: directory }
    }

    #[test]
    fn a_call_that_returns_late_is_waited_for() {
        let Stage { store, committer, release, _directory } = stage(Duration::from_secs(600));
        assert!(committer.poll().unwrap().is_none());
        release.send(()).unwrap();
        assert!(matches!(committer.wait().unwrap(), Done::Committed(_)));
        drop(committer);
        assert_eq!(store.checkpoint("s", 0).unwrap().unwrap().input, 5);
    }

    #[test]
    fn a_call_that_hangs_leaves_the_store_to_the_next_session() {
        let Stage { store, committer, release, _directory } = stage(SHORT);
        assert_eq!(committer.wait().err(), Some(Failed::hung()));
        assert_eq!(committer.poll().err(), Some(Failed::hung()));
        drop(committer);
        assert_eq!(store.checkpoint("s", 0).unwrap(), None);
        // It returns after all: nobody waits for it, and it changes nothing.
        release.send(()).unwrap();
        while Arc::strong_count(&store) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(store.checkpoint("s", 0).unwrap(), None);
    }

    #[test]
    fn jobs_are_not_handed_to_a_thread_that_hangs() {
        let Stage { store: _store, committer, release: _release, _directory } = stage(SHORT);
        let rows = || RestoredRows {
            partition: PARTITION,
            rows: Vec::new(),
            checkpoint: Checkpoint { input: 4, position: 8, saved_at: 0, live: 0, deleted: 0 },
            is_last: false,
        };
        let rejected = (0..=MAX_WAITING + 1).map(|_| committer.restore(rows())).find_map(Result::err);
        assert_eq!(rejected, Some(Failed::hung()));
    }
}
