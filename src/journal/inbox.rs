//! The queue of requests to the journal's thread, and the state that the thread publishes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_callback::jose::jwe::ContentKey;
use outbox::Seq;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use super::rejection_log::QuarantineRejectionLog;
use super::row::EntryRow;
use super::store::KeyChange;
use crate::telemetry::journal::{JournalRejection, Usage};

/// Maximum time that a deletion waits for a write whose commit it can join.
pub(super) const MAX_DELETE_DELAY: Duration = Duration::from_millis(50);

pub(super) type Reply<T> = oneshot::Sender<Result<T, JournalRejection>>;

/// A callback to quarantine, and the channel for its result.
pub(super) type QuarantineRequest = (Quarantined, Reply<QuarantineId>);

/// The requests to the journal's thread, and the state that it publishes.
pub(super) struct Inbox {
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    /// Notified when the thread has ended.
    pub(super) ended: Condvar,
    pub(super) sealing_key: Mutex<Arc<ContentKey>>,
    usage: Mutex<Usage>,
    quarantine: Mutex<(QuarantineRejectionLog, [u64; JournalRejection::ALL.len()])>,
}

/// Requests that wait for the thread.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) writes: BTreeMap<Seq, Entry>,
    /// Entries that were cancelled or deleted before they were written.
    pub(super) cancelled: Vec<Seq>,
    pub(super) deletes: Vec<Seq>,
    /// When the oldest of `deletes` was requested.
    pub(super) deletes_since: Option<Instant>,
    pub(super) reads: VecDeque<Vec<Seq>>,
    pub(super) quarantine_requests: VecDeque<QuarantineRequest>,
    /// Size of the callbacks to quarantine, in bytes. Includes those of the current commit.
    pub(super) quarantine_bytes: usize,
    pub(super) releases: Vec<(QuarantineId, Reply<()>)>,
    pub(super) queries: VecDeque<Query>,
    /// Number of entries in the current commit.
    pub(super) writing: usize,
    pub(super) closing: bool,
    /// True after the thread has ended.
    pub(super) closed: bool,
}

/// Requests that do not change stored data. `Keys` changes the keys in use.
pub(super) enum Query {
    List(Seq, usize, Reply<Vec<EntryRow>>),
    Entries(Seq, usize, Reply<Vec<(Seq, Option<Entry>)>>),
    Quarantined(QuarantineId, usize, Reply<Vec<QuarantineRow>>),
    CallbackRow(QuarantineId, Reply<Option<QuarantineRow>>),
    Callback(QuarantineId, Reply<Option<Quarantined>>),
    Keys(Vec<Arc<ContentKey>>, Reply<KeyChange>),
    OldKeys(Reply<Vec<(String, u64)>>),
}

impl Inbox {
    pub(super) fn new(sealing_key: Arc<ContentKey>) -> Self {
        Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            sealing_key: Mutex::new(sealing_key),
            usage: Mutex::default(),
            quarantine: Mutex::default(),
        }
    }

    /// Waits for work and returns what `take` takes from the queue. Returns `None` if nothing arrived by `idle_until`.
    pub(super) fn next<T>(&self, idle_until: Option<Instant>, mut take: impl FnMut(&mut Queue) -> T) -> Option<T> {
        let mut queue = self.queue.lock();
        loop {
            let urgent = queue.is_urgent();
            let due = queue.deletes_since.map(|since| since + MAX_DELETE_DELAY);
            let now = Instant::now();
            if urgent || due.is_some_and(|due| due <= now) {
                return Some(take(&mut queue));
            }
            let wake = [due, idle_until].into_iter().flatten().min();
            match wake {
                None => self.work.wait(&mut queue),
                Some(wake) if wake <= now => return None,
                Some(wake) => {
                    self.work.wait_until(&mut queue, wake);
                }
            }
        }
    }

    /// Publishes the current counts and sizes.
    pub(super) fn publish_usage(&self, usage: Usage) {
        self.quarantine.lock().0.level(usage.quarantine_bytes, usage.quarantine_limit);
        *self.usage.lock() = usage;
    }

    /// Returns the current counts and sizes.
    pub(super) fn usage(&self) -> Usage {
        let quarantine_rejected = self.quarantine.lock().1;
        Usage { quarantine_rejected, ..*self.usage.lock() }
    }

    /// Counts and logs a callback that the quarantine has rejected.
    pub(super) fn quarantine_rejected(&self, rejection: JournalRejection) {
        let (rejection_log, counts) = &mut *self.quarantine.lock();
        rejection_log.record(Some(rejection));
        for (known, count) in JournalRejection::ALL.iter().zip(counts) {
            *count += u64::from(*known == rejection);
        }
    }

    /// Notes that a callback was quarantined, which ends a logged rejection.
    pub(super) fn quarantine_accepted(&self) {
        self.quarantine.lock().0.record(None);
    }

    /// Records that the results of a commit are reported.
    pub(super) fn committed(&self, quarantine_bytes: usize) {
        let mut queue = self.queue.lock();
        queue.writing = 0;
        queue.quarantine_bytes = queue.quarantine_bytes.saturating_sub(quarantine_bytes);
    }

    /// Records that the thread has ended. Pending requests get no answer.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        let left = std::mem::take(&mut *queue);
        (queue.closing, queue.closed) = (true, true);
        drop(queue);
        drop(left);
        self.ended.notify_all();
    }

    /// Queues deletions again that could not be committed.
    pub(super) fn delete_later(&self, seqs: &[Seq]) {
        self.queue.lock().delete(seqs);
    }
}

impl Queue {
    /// Removes entries that are not written yet. A confirmed event must not fill the memory while the disk is slow.
    pub(super) fn cancel(&mut self, seqs: &[Seq]) {
        self.cancelled.extend(seqs.iter().filter(|seq| self.writes.remove(seq).is_some()));
    }

    /// Queues deletions. Entries that are not written yet are cancelled: deleted first and written after, they would
    /// stay.
    pub(super) fn delete(&mut self, seqs: &[Seq]) {
        self.cancel(seqs);
        self.deletes.extend_from_slice(seqs);
        self.deletes_since.get_or_insert_with(Instant::now);
    }

    /// Returns true if a request is queued that cannot wait for others to share its commit.
    fn is_urgent(&self) -> bool {
        self.closing
            || !self.writes.is_empty()
            || !self.cancelled.is_empty()
            || !self.reads.is_empty()
            || !self.quarantine_requests.is_empty()
            || !self.releases.is_empty()
            || !self.queries.is_empty()
    }

    /// Returns true if no request is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.deletes.is_empty()
            && self.writes.is_empty()
            && self.cancelled.is_empty()
            && self.reads.is_empty()
            && self.quarantine_requests.is_empty()
            && self.releases.is_empty()
            && self.queries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::entry_of;

    #[test]
    fn cancelled_and_deleted_entries_leave_the_queue() {
        let mut queue = Queue::default();
        queue.writes.extend([1, 2, 3, 4].map(|seq| (Seq(seq), entry_of(seq, 10))));
        queue.delete(&[Seq(2), Seq(9)]);
        queue.cancel(&[Seq(4), Seq(8)]);
        assert_eq!(queue.writes.keys().copied().collect::<Vec<_>>(), [Seq(1), Seq(3)]);
        assert_eq!((queue.cancelled, queue.deletes), (vec![Seq(2), Seq(4)], vec![Seq(2), Seq(9)]));
    }
}
