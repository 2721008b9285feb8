//! The interface of the journal. Requests are queued; a dedicated thread owns the store and makes them durable.
//!
//! Nothing here waits for the disk, except [`Journal::close`], [`Journal::close_within`] and dropping the [`Journal`].

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use idaas_callback::jose::jwe::ContentKey;
use outbox::Seq;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::inbox::{Inbox, Query, Queue, Reply};
use super::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use super::row::EntryRow;
use super::store::{KeyChange, Store};
use super::writer::Writer;
use crate::telemetry::journal::{JournalRejection, Usage};
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// Limit for callbacks that wait to be quarantined, in bytes. Without it, redeliveries would fill the memory while the
/// disk takes seconds for each sync.
const WAITING_CALLBACKS: usize = 64 << 20;

/// Receives the journal's results. Called on the journal's thread; must return quickly and must not panic, because a
/// panic ends the thread.
pub trait JournalEvents: Send + Sync {
    /// These entries are durable. Also called for entries that were deleted or cancelled before they were written.
    fn written(&self, seqs: Vec<Seq>);

    /// These entries, in the order of acceptance, were rejected.
    fn rejected(&self, seqs: Vec<Seq>, rejection: JournalRejection);

    /// Delivers the entries requested with [`Journal::read`], in the order of the request. An entry is `None` if it
    /// does not exist or cannot be read; an unreadable entry is logged and stays in the journal. If the file cannot be
    /// used, [`JournalEvents::unread`] is called instead.
    fn read(&self, entries: Vec<(Seq, Option<Entry>)>);

    /// The entries requested with [`Journal::read`] cannot be read now. Request them again later.
    fn unread(&self, seqs: Vec<Seq>, rejection: JournalRejection);
}

/// The response of the journal's thread. A receive error means that the journal has been closed.
pub type Response<T> = oneshot::Receiver<Result<T, JournalRejection>>;

/// A handle to the running journal.
pub struct Journal {
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while the quarantine is replayed: two replays at a time would hand callbacks over out of order.
    pub(super) quarantine_replay: Arc<tokio::sync::Mutex<()>>,
}

impl Journal {
    /// Starts the thread that owns the store.
    ///
    /// # Errors
    /// The operating system's error if the thread cannot be started.
    pub fn start(store: Store, events: Arc<dyn JournalEvents>, liveness: &Arc<Liveness>) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::new(store.sealing_key()));
        let mut writer = Writer::new(store, events, Arc::clone(&inbox));
        let alive = liveness.watch("journal");
        let work = move || {
            let _alive = alive;
            let _end = CloseOnDrop(writer.inbox());
            writer.run();
            // The file is closed before the end is reported.
            drop(writer);
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok(Self { inbox, thread: Mutex::new(Some(thread)), quarantine_replay: Arc::default() })
    }

    /// Asks for entries to be made durable, in the order of acceptance. The result is reported to
    /// [`JournalEvents::written`] and [`JournalEvents::rejected`].
    pub fn write(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        self.enqueue(|queue| queue.writes.extend(entries.into_iter().map(|entry| (entry.seq, entry))));
    }

    /// Cancels writes that have not begun. Each is reported as written.
    pub fn cancel(&self, seqs: &[Seq]) {
        if seqs.is_empty() {
            return;
        }
        self.enqueue(|queue| queue.cancel(seqs));
    }

    /// Queues entries for deletion, usually because their records are confirmed. The deletion joins the next write, or
    /// is committed alone after a short delay. A crash can undo it, so an entry found at the start can already be on
    /// Kafka.
    pub fn delete(&self, seqs: Vec<Seq>) {
        if seqs.is_empty() {
            return;
        }
        self.enqueue(|queue| queue.delete(&seqs));
    }

    /// Queues entries to be read. The result is passed to [`JournalEvents::read`].
    pub fn read(&self, seqs: Vec<Seq>) {
        if seqs.is_empty() {
            return;
        }
        self.enqueue(|queue| queue.reads.push_back(seqs));
    }

    /// Returns up to `limit` index rows starting at sequence number `from`, in order.
    pub fn list(&self, from: Seq, limit: usize) -> Response<Vec<EntryRow>> {
        self.query(|reply| Query::List(from, limit, reply))
    }

    /// Returns up to `limit` entries starting at sequence number `from`, in order. An entry is `None` if it cannot be
    /// read.
    pub fn entries(&self, from: Seq, limit: usize) -> Response<Vec<(Seq, Option<Entry>)>> {
        self.query(|reply| Query::Entries(from, limit, reply))
    }

    /// Adds a callback to the quarantine. Succeeds without a change if a callback with the same content is already
    /// there. The response arrives once the callback is durable.
    ///
    /// The caller can stop waiting at any time, for example at the deadline of an HTTP request; the request to the
    /// journal stays queued. The caller must then answer that the callback was not accepted, because it can still be
    /// rejected.
    pub fn quarantine(&self, callback: Quarantined) -> Response<QuarantineId> {
        let (reply, response) = oneshot::channel();
        let weight = callback.weight();
        let mut queue = self.inbox.queue.lock();
        // A single callback is always accepted, however large it is.
        if queue.quarantine_bytes > 0 && queue.quarantine_bytes + weight > WAITING_CALLBACKS {
            drop(queue);
            self.inbox.quarantine_rejected(JournalRejection::Busy);
            let _ = reply.send(Err(JournalRejection::Busy));
            return response;
        }
        if !queue.closed {
            queue.quarantine_bytes += weight;
            queue.quarantine_requests.push_back((callback, reply));
        }
        drop(queue);
        self.inbox.work.notify_one();
        response
    }

    /// Returns up to `limit` quarantined callbacks without their content, ordered by id, starting at `from`.
    pub fn quarantined(&self, from: QuarantineId, limit: usize) -> Response<Vec<QuarantineRow>> {
        self.query(|reply| Query::Quarantined(from, limit, reply))
    }

    /// Returns the index row of a quarantined callback. `None` if it does not exist or cannot be read.
    pub fn quarantined_row(&self, id: QuarantineId) -> Response<Option<QuarantineRow>> {
        self.query(|reply| Query::CallbackRow(id, reply))
    }

    /// Returns a quarantined callback with its content. `None` if it does not exist or cannot be read.
    pub fn quarantined_callback(&self, id: QuarantineId) -> Response<Option<Quarantined>> {
        self.query(|reply| Query::Callback(id, reply))
    }

    /// Removes a callback from quarantine. The response arrives once the removal is durable.
    pub fn release(&self, id: QuarantineId) -> Response<()> {
        let (reply, response) = oneshot::channel();
        self.enqueue(|queue| queue.releases.push((id, reply)));
        response
    }

    /// Replaces the keys, as after a reload: the first seals from now on, all open. Refused if something in
    /// the journal is sealed with a key that is not among them. What older keys have sealed is sealed again with the
    /// first one while there is nothing else to do; [`Usage::old_key`] counts down to 0.
    pub fn replace_keys(&self, keys: Vec<Arc<ContentKey>>) -> Response<KeyChange> {
        self.query(|reply| Query::Keys(keys, reply))
    }

    /// Returns the ids of the older keys in use, with the number of entries and callbacks sealed with each.
    pub fn old_keys(&self) -> Response<Vec<(String, u64)>> {
        self.query(Query::OldKeys)
    }

    /// Returns the key that seals new data.
    #[must_use]
    pub fn sealing_key(&self) -> Arc<ContentKey> {
        Arc::clone(&self.inbox.sealing_key.lock())
    }

    /// Returns the current counts and sizes. Does not access the disk.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inbox.usage()
    }

    /// Completes all queued requests and closes the file, but waits no longer than `limit`. Returns the number of
    /// entries not known to be written by then; the thread continues with them while the process lives, and reports
    /// them to [`JournalEvents::written`]. Requests made after this call can be lost. Blocks the calling thread.
    pub fn close_within(&self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        self.enqueue(|queue| queue.closing = true);
        let mut queue = self.inbox.queue.lock();
        while !queue.closed && !self.inbox.ended.wait_until(&mut queue, until).timed_out() {}
        if queue.closed {
            drop(queue);
            self.close();
            return 0;
        }
        let left = queue.writing + queue.writes.len();
        drop(queue);
        // Nobody waits for the thread any longer. It ends with the process, or when the disk responds.
        drop(self.thread.lock().take());
        left
    }

    /// Completes all queued requests and closes the file. Requests made after this call can be lost. Blocks the calling
    /// thread.
    pub fn close(&self) {
        self.enqueue(|queue| queue.closing = true);
        // The observer can own the last reference, so this can run on the journal's own thread, which cannot join
        // itself.
        let here = std::thread::current().id();
        let thread = self.thread.lock().take().filter(|thread| thread.thread().id() != here);
        if let Some(thread) = thread {
            join_thread(thread);
        }
    }

    fn enqueue(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.inbox.queue.lock();
        if !queue.closed {
            add(&mut queue);
        }
        drop(queue);
        self.inbox.work.notify_one();
    }

    fn query<T>(&self, to_query: impl FnOnce(Reply<T>) -> Query) -> Response<T> {
        let (reply, response) = oneshot::channel();
        self.enqueue(|queue| queue.queries.push_back(to_query(reply)));
        response
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reports the end of the thread, also after a panic.
struct CloseOnDrop(Arc<Inbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn join_thread(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!(code = LogCode::JournalEnded.as_str(), "the journal's thread ended in a panic");
    }
}
