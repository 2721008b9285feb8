//! The journal as others use it: asks are queued, and a thread of its own that has the store makes them durable.
//!
//! Nothing here waits for the disk, except [`Journal::close`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::fault::JournalRefusal;
use super::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use super::row::Row;
use super::store::Store;
use super::writer::Writer;
use crate::outbox::Seq;

/// How long a removal may wait for a write that it can be joined to.
pub(super) const FORGET_WITHIN: Duration = Duration::from_millis(50);

/// Who hears what became of things. Called on the journal's thread, which does nothing else meanwhile and ends where this
/// panics: so it should only pass on what it hears.
pub trait JournalEvents: Send + Sync {
    /// These entries are durable. Said as well of one that was forgotten before it was written.
    fn written(&self, seqs: Vec<Seq>);

    /// These entries were not taken, in the order of acceptance.
    fn refused(&self, seqs: Vec<Seq>, refusal: JournalRefusal);

    /// What [`Journal::read`] asked for, in its order. None where an entry is not there, or cannot be read: then it is
    /// logged, and stays where it is. While the file cannot be used nothing is called; see [`JournalEvents::unread`].
    fn read(&self, entries: Vec<(Seq, Option<Entry>)>);

    /// What [`Journal::read`] asked for cannot be read now; to be asked for again later.
    fn unread(&self, seqs: Vec<Seq>, refusal: JournalRefusal);
}

/// What is in the journal, for metrics and for whoever looks.
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
}

/// An answer that comes when the journal's thread has got to it; an error means that the journal has been closed.
pub type Answer<T> = oneshot::Receiver<Result<T, JournalRefusal>>;

pub(super) type Reply<T> = oneshot::Sender<Result<T, JournalRefusal>>;

/// A callback to be quarantined, and who waits for it.
pub(super) type Keep = (Quarantined, Reply<QuarantineId>);

/// The journal, running.
pub struct Journal {
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is asked of the thread, and what it tells.
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    work: Condvar,
    usage: Mutex<Usage>,
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) writes: VecDeque<Entry>,
    pub(super) forgets: Vec<Seq>,
    /// When the oldest of `forgets` was asked for.
    pub(super) forgets_since: Option<Instant>,
    pub(super) reads: VecDeque<Vec<Seq>>,
    pub(super) keeps: Vec<Keep>,
    pub(super) releases: Vec<(QuarantineId, Reply<()>)>,
    pub(super) questions: VecDeque<Question>,
    pub(super) closing: bool,
}

/// What can be asked without changing anything.
pub(super) enum Question {
    List(Seq, usize, Reply<Vec<Row>>),
    Entries(Seq, usize, Reply<Vec<(Seq, Option<Entry>)>>),
    Quarantined(Reply<Vec<QuarantineRow>>),
    Callback(QuarantineId, Reply<Option<Quarantined>>),
}

impl Journal {
    /// Starts the thread that has the store.
    ///
    /// # Errors
    /// The operating system's, where it gives no thread.
    pub fn start(store: Store, events: Arc<dyn JournalEvents>) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox { queue: Mutex::default(), work: Condvar::new(), usage: Mutex::default() });
        let mut writer = Writer::new(store, events, Arc::clone(&inbox));
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        Ok(Self { inbox, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for entries to be made durable, in the order of acceptance. What became of them is told to
    /// [`JournalEvents::written`] and [`JournalEvents::refused`].
    pub fn write(&self, entries: Vec<Entry>) {
        self.ask(|queue| queue.writes.extend(entries));
    }

    /// Asks for entries to be removed, whose records are confirmed. Goes with the next write, or soon by itself. A crash
    /// may undo it, so what is found at the start can be on Kafka already.
    pub fn forget(&self, seqs: Vec<Seq>) {
        if seqs.is_empty() {
            return;
        }
        self.ask(|queue| {
            queue.forgets.extend(seqs);
            queue.forgets_since.get_or_insert_with(Instant::now);
        });
    }

    /// Asks for entries to be read; they come to [`JournalEvents::read`].
    pub fn read(&self, seqs: Vec<Seq>) {
        self.ask(|queue| queue.reads.push_back(seqs));
    }

    /// Up to `limit` lines of the index from a place on, in order.
    pub fn list(&self, from: Seq, limit: usize) -> Answer<Vec<Row>> {
        self.question(|reply| Question::List(from, limit, reply))
    }

    /// Up to `limit` entries from a place on, in order; none where one cannot be read.
    pub fn entries(&self, from: Seq, limit: usize) -> Answer<Vec<(Seq, Option<Entry>)>> {
        self.question(|reply| Question::Entries(from, limit, reply))
    }

    /// Asks for a callback to be kept in quarantine. One of the same content that is there already stays as it is, and
    /// that is a success. The answer comes when it is durable.
    pub fn quarantine(&self, callback: Quarantined) -> Answer<QuarantineId> {
        let (reply, answer) = oneshot::channel();
        self.ask(|queue| queue.keeps.push((callback, reply)));
        answer
    }

    /// What is in quarantine, without contents, oldest first.
    pub fn quarantined(&self) -> Answer<Vec<QuarantineRow>> {
        self.question(Question::Quarantined)
    }

    /// A callback in quarantine, whole. None where it is not there, or cannot be read.
    pub fn quarantined_callback(&self, id: QuarantineId) -> Answer<Option<Quarantined>> {
        self.question(|reply| Question::Callback(id, reply))
    }

    /// Asks for a callback to be removed from quarantine. The answer comes when that is durable.
    pub fn release(&self, id: QuarantineId) -> Answer<()> {
        let (reply, answer) = oneshot::channel();
        self.ask(|queue| queue.releases.push((id, reply)));
        answer
    }

    /// What is in it. Costs next to nothing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *self.inbox.usage.lock()
    }

    /// Waits until everything that was asked for is done and synced, and closes the file. What is asked for later is not
    /// done. Blocks the thread that calls it.
    pub fn close(&self) {
        self.ask(|queue| queue.closing = true);
        // Who hears of events may hold the journal, and be the last who does.
        let here = std::thread::current().id();
        let thread = self.thread.lock().take().filter(|thread| thread.thread().id() != here);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(code = "journal_ended", "the journal's thread ended in a panic");
        }
    }

    fn ask(&self, ask: impl FnOnce(&mut Queue)) {
        ask(&mut self.inbox.queue.lock());
        self.inbox.work.notify_one();
    }

    fn question<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.ask(|queue| queue.questions.push_back(question(reply)));
        answer
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inbox {
    /// Waits until there is something to do, at most until `idle_until`, and hands it out. None: it was idle so long.
    pub(super) fn next<T>(&self, idle_until: Option<Instant>, mut take: impl FnMut(&mut Queue) -> T) -> Option<T> {
        let mut queue = self.queue.lock();
        loop {
            let urgent = queue.is_urgent();
            let due = queue.forgets_since.map(|since| since + FORGET_WITHIN);
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

    /// Shows what is in the journal.
    pub(super) fn show(&self, usage: Usage) {
        *self.usage.lock() = usage;
    }

    /// Puts removals back that were not done.
    pub(super) fn forget_later(&self, seqs: &[Seq]) {
        let mut queue = self.queue.lock();
        queue.forgets.extend_from_slice(seqs);
        queue.forgets_since.get_or_insert_with(Instant::now);
    }
}

impl Queue {
    /// Whether there is something that does not wait for company.
    fn is_urgent(&self) -> bool {
        self.closing
            || !self.writes.is_empty()
            || !self.reads.is_empty()
            || !self.keeps.is_empty()
            || !self.releases.is_empty()
            || !self.questions.is_empty()
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.forgets.is_empty()
            && self.writes.is_empty()
            && self.reads.is_empty()
            && self.keeps.is_empty()
            && self.releases.is_empty()
            && self.questions.is_empty()
    }
}
