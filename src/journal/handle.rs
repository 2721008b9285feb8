//! The journal as others use it: asks are queued, and a thread of its own that has the store makes them durable.
//!
//! Nothing here waits for the disk, except [`Journal::close`] and [`Journal::close_within`].

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use idaas_callback::jose::jwe::ContentKey;
use outbox::Seq;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::fault::JournalRejection;
use super::inbox::{Inbox, Query, Queue, Reply};
use super::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use super::row::EntryRow;
use super::store::{KeyChange, Store};
use super::writer::Writer;
use crate::telemetry::log_code::LogCode;

/// How much may wait for its turn to be quarantined, in bytes. While a disk takes seconds for each sync, re-deliveries
/// would fill the memory.
const WAITING_CALLBACKS: usize = 64 << 20;

/// Who hears what became of things. Called on the journal's thread, which does nothing else meanwhile and ends where this
/// panics: so it should only pass on what it hears.
pub trait JournalEvents: Send + Sync {
    /// These entries are durable. Said as well of one that was forgotten before it was written.
    fn written(&self, seqs: Vec<Seq>);

    /// These entries were not taken, in the order of acceptance.
    fn rejected(&self, seqs: Vec<Seq>, refusal: JournalRejection);

    /// What [`Journal::read`] asked for, in its order. None where an entry is not there, or cannot be read: then it is
    /// logged, and stays where it is. While the file cannot be used nothing is called; see [`JournalEvents::unread`].
    fn read(&self, entries: Vec<(Seq, Option<Entry>)>);

    /// What [`Journal::read`] asked for cannot be read now; to be asked for again later.
    fn unread(&self, seqs: Vec<Seq>, refusal: JournalRejection);
}

/// What is in the journal, for metrics and operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub events: u64,
    /// What entries and quarantine take, in bytes.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub limit: u64,
    /// The time of acceptance of the oldest entry, in milliseconds since 1970.
    pub oldest_accepted_at: Option<i64>,
    /// Callbacks in quarantine.
    pub quarantine: u64,
    /// What they take, in bytes.
    pub quarantine_bytes: u64,
    /// What they may take, in bytes.
    pub quarantine_limit: u64,
    /// How many callbacks the quarantine has refused since the start, by reason, in the order of [`JournalRejection::ALL`].
    pub quarantine_refused: [u64; JournalRejection::ALL.len()],
    /// Entries and callbacks that are sealed with another key than the first of `journal.keys`.
    pub old_key: u64,
}

/// An answer that comes when the journal's thread has got to it; an error means that the journal has been closed.
pub type Response<T> = oneshot::Receiver<Result<T, JournalRejection>>;

/// The journal, running.
pub struct Journal {
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held while the quarantine is replayed: two replays at a time would hand callbacks over out of order.
    pub(super) quarantine_replay: Arc<tokio::sync::Mutex<()>>,
}

impl Journal {
    /// Starts the thread that has the store.
    ///
    /// # Errors
    /// The operating system's, where it gives no thread.
    pub fn start(store: Store, events: Arc<dyn JournalEvents>) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox::new(store.sealing_key()));
        let mut writer = Writer::new(store, events, Arc::clone(&inbox));
        let work = move || {
            let _end = End(writer.inbox());
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
        self.ask(|queue| queue.writes.extend(entries));
    }

    /// Asks for entries to be removed, whose records are confirmed. Goes with the next write, or soon by itself. A crash
    /// may undo it, so what is found at the start can be on Kafka already.
    pub fn delete(&self, seqs: Vec<Seq>) {
        if seqs.is_empty() {
            return;
        }
        self.ask(|queue| {
            queue.deletes.extend(seqs);
            queue.deletes_since.get_or_insert_with(Instant::now);
        });
    }

    /// Asks for entries to be read; they come to [`JournalEvents::read`].
    pub fn read(&self, seqs: Vec<Seq>) {
        self.ask(|queue| queue.reads.push_back(seqs));
    }

    /// Up to `limit` lines of the index from a place on, in order.
    pub fn list(&self, from: Seq, limit: usize) -> Response<Vec<EntryRow>> {
        self.query(|reply| Query::List(from, limit, reply))
    }

    /// Up to `limit` entries from a place on, in order; none where one cannot be read.
    pub fn entries(&self, from: Seq, limit: usize) -> Response<Vec<(Seq, Option<Entry>)>> {
        self.query(|reply| Query::Entries(from, limit, reply))
    }

    /// Asks for a callback to be kept in quarantine. One of the same content that is there already stays as it is, and
    /// that is a success. The answer comes when it is durable.
    ///
    /// Whoever asks may stop waiting at any time, for example at the deadline of an HTTP request: the callback is kept all
    /// the same. It must then be answered as not kept, because it may still be refused.
    pub fn quarantine(&self, callback: Quarantined) -> Response<QuarantineId> {
        let (reply, answer) = oneshot::channel();
        let weight = callback.weight();
        let mut queue = self.inbox.queue.lock();
        // One alone is always taken, however large.
        if queue.quarantine_bytes > 0 && queue.quarantine_bytes + weight > WAITING_CALLBACKS {
            drop(queue);
            self.inbox.quarantine_refused(JournalRejection::Busy);
            let _ = reply.send(Err(JournalRejection::Busy));
            return answer;
        }
        if !queue.closed {
            queue.quarantine_bytes += weight;
            queue.quarantine_requests.push_back((callback, reply));
        }
        drop(queue);
        self.inbox.work.notify_one();
        answer
    }

    /// Up to `limit` callbacks in quarantine, without contents, in the order of their names, from a name on.
    pub fn quarantined(&self, from: QuarantineId, limit: usize) -> Response<Vec<QuarantineRow>> {
        self.query(|reply| Query::Quarantined(from, limit, reply))
    }

    /// The line of a callback in quarantine. `None` if it is not there, or cannot be read.
    pub fn quarantined_row(&self, id: QuarantineId) -> Response<Option<QuarantineRow>> {
        self.query(|reply| Query::CallbackRow(id, reply))
    }

    /// A callback in quarantine, whole. None where it is not there, or cannot be read.
    pub fn quarantined_callback(&self, id: QuarantineId) -> Response<Option<Quarantined>> {
        self.query(|reply| Query::Callback(id, reply))
    }

    /// Asks for a callback to be removed from quarantine. The answer comes when that is durable.
    pub fn release(&self, id: QuarantineId) -> Response<()> {
        let (reply, answer) = oneshot::channel();
        self.ask(|queue| queue.releases.push((id, reply)));
        answer
    }

    /// Replaces the keys, as after a reload: the first seals from now on, all open. Refused if something in
    /// the journal is sealed with a key that is not among them. What older keys have sealed is sealed again with the
    /// first one while there is nothing else to do; [`Usage::old_key`] counts down to 0.
    pub fn replace_keys(&self, keys: Vec<Arc<ContentKey>>) -> Response<KeyChange> {
        self.query(|reply| Query::Keys(keys, reply))
    }

    /// The ids of the older keys that something is sealed with, and how many entries and callbacks need each.
    pub fn old_keys(&self) -> Response<Vec<(String, u64)>> {
        self.query(Query::OldKeys)
    }

    /// The key that seals.
    #[must_use]
    pub fn sealing_key(&self) -> Arc<ContentKey> {
        Arc::clone(&self.inbox.sealing_key.lock())
    }

    /// What is in it. Costs next to nothing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inbox.usage()
    }

    /// Waits at most for `limit` until everything that was asked for is done and synced, and the file is closed. Returns
    /// how many entries are not known to be written then; the thread goes on with them for as long as the process lives,
    /// and tells [`JournalEvents::written`]. What is asked for later is not done. Blocks the thread that calls it.
    pub fn close_within(&self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        self.ask(|queue| queue.closing = true);
        let mut queue = self.inbox.queue.lock();
        while !queue.closed && !self.inbox.end.wait_until(&mut queue, until).timed_out() {}
        if queue.closed {
            drop(queue);
            self.close();
            return 0;
        }
        let left = queue.writing + queue.writes.len();
        drop(queue);
        // Nobody waits for it any longer; it ends with the process, or when the disk answers.
        drop(self.thread.lock().take());
        left
    }

    /// Waits until everything that was asked for is done and synced, and closes the file. What is asked for later is not
    /// done. Blocks the thread that calls it.
    pub fn close(&self) {
        self.ask(|queue| queue.closing = true);
        // Who hears of events may hold the journal, and be the last who does.
        let here = std::thread::current().id();
        let thread = self.thread.lock().take().filter(|thread| thread.thread().id() != here);
        if let Some(thread) = thread {
            joined(thread);
        }
    }

    fn ask(&self, ask: impl FnOnce(&mut Queue)) {
        let mut queue = self.inbox.queue.lock();
        if !queue.closed {
            ask(&mut queue);
        }
        drop(queue);
        self.inbox.work.notify_one();
    }

    fn query<T>(&self, question: impl FnOnce(Reply<T>) -> Query) -> Response<T> {
        let (reply, answer) = oneshot::channel();
        self.ask(|queue| queue.queries.push_back(question(reply)));
        answer
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reports the end of the thread, also after a panic.
struct End(Arc<Inbox>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn joined(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!(code = LogCode::JournalEnded.as_str(), "the journal's thread ended in a panic");
    }
}
