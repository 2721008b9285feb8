//! The thread that has the store. Takes together what has queued while the disk was busy, makes it durable with one
//! commit, and says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::alarm::Alarm;
use super::entry::Entry;
use super::fault::JournalRefusal;
use super::handle::{Inbox, JournalEvents, Keep, Question, Queue, Reply, Usage};
use super::quarantine::QuarantineId;
use super::store::{Batch, Store};
use crate::outbox::Seq;

/// How much one commit takes of what waits, in bytes of entries and in removals, so that nobody waits long for one.
const COMMIT_BYTES: usize = 4 << 20;
const COMMIT_REMOVALS: usize = 20_000;

/// How long there has to be nothing to do before the file is tidied.
const IDLE: Duration = Duration::from_secs(5);

/// How often the end is tried while the file cannot be used, before what is left is given up and said so.
const LAST_ATTEMPTS: u32 = 3;

/// The thread's work.
pub(super) struct Writer {
    store: Store,
    events: Arc<dyn JournalEvents>,
    inbox: Arc<Inbox>,
    alarm: Alarm,
    /// Whether anything was removed since the file was tidied.
    untidy: bool,
}

/// What is taken together.
struct Work {
    writes: Vec<Entry>,
    /// Entries that nobody wants any more, before they were written.
    forgotten: Vec<Seq>,
    forgets: Vec<Seq>,
    reads: Vec<Vec<Seq>>,
    keeps: Vec<Keep>,
    releases: Vec<(QuarantineId, Reply<()>)>,
    questions: Vec<Question>,
    /// Whether this is all there will ever be.
    last: bool,
}

impl Writer {
    pub(super) fn new(store: Store, events: Arc<dyn JournalEvents>, inbox: Arc<Inbox>) -> Self {
        let mut writer = Self { store, events, inbox, alarm: Alarm::default(), untidy: false };
        writer.show();
        writer
    }

    /// Works until the journal is closed.
    pub(super) fn run(&mut self) {
        let mut attempts = 0;
        loop {
            let idle_until = self.untidy.then(|| Instant::now() + IDLE);
            let inbox = Arc::clone(&self.inbox);
            let Some(work) = inbox.next(idle_until, Work::take) else {
                self.store.tidy();
                self.untidy = false;
                continue;
            };
            let last = work.last;
            let done = self.work(work);
            if last && (done || attempts >= LAST_ATTEMPTS) {
                return;
            }
            attempts += u32::from(last);
        }
    }

    /// Says whether nothing is left of it to be done.
    fn work(&mut self, work: Work) -> bool {
        let Work { writes, forgotten, forgets, reads, keeps, releases, questions, last: _ } = work;
        if !forgotten.is_empty() {
            self.events.written(forgotten);
        }
        let (keeps, released) = (self.new_only(keeps), releases);
        let callbacks: Vec<_> = keeps.iter().map(|(callback, _)| callback.clone()).collect();
        let releases: Vec<_> = released.iter().map(|(id, _)| *id).collect();
        let mut done = true;
        if !(writes.is_empty() && forgets.is_empty() && callbacks.is_empty() && releases.is_empty()) {
            let batch = Batch { puts: &writes, removes: &forgets, keeps: &callbacks, releases: &releases };
            let committed = self.store.commit(&batch);
            self.untidy |= committed.removed && !forgets.is_empty();
            if !committed.removed && !forgets.is_empty() {
                self.inbox.forget_later(&forgets);
                done = false;
            }
            self.show();
            self.alarm.hear(committed.refused.first().map(|(_, why)| *why), !committed.written.is_empty());
            if !committed.written.is_empty() {
                self.events.written(committed.written);
            }
            for refusal in JournalRefusal::ALL {
                let refused: Vec<_> =
                    committed.refused.iter().filter(|(_, why)| *why == refusal).map(|(seq, _)| *seq).collect();
                if !refused.is_empty() {
                    self.events.refused(refused, refusal);
                }
            }
            // Whoever asked may have gone.
            for ((callback, reply), kept) in keeps.into_iter().zip(committed.kept) {
                let _ = reply.send(kept.map(|()| callback.id()));
            }
            for (_, reply) in released {
                let _ = reply.send(if committed.removed { Ok(()) } else { Err(JournalRefusal::Failed) });
            }
        }
        for seqs in reads {
            match self.store.read(&seqs) {
                Ok(entries) => self.events.read(entries),
                Err(refusal) => self.events.unread(seqs, refusal),
            }
        }
        for question in questions {
            self.answer(question);
        }
        done
    }

    /// Answers for callbacks that are kept already, and leaves the others, each content once.
    fn new_only(&mut self, keeps: Vec<Keep>) -> Vec<Keep> {
        if keeps.is_empty() {
            return keeps;
        }
        let known: Result<HashSet<_>, _> =
            self.store.quarantined().map(|rows| rows.into_iter().map(|row| row.id).collect());
        let mut new = Vec::new();
        for (callback, reply) in keeps {
            match &known {
                Ok(known) if known.contains(&callback.id()) => {
                    let _ = reply.send(Ok(callback.id()));
                }
                Ok(_) => new.push((callback, reply)),
                Err(refusal) => {
                    let _ = reply.send(Err(*refusal));
                }
            }
        }
        new
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::List(from, limit, reply) => {
                let _ = reply.send(self.store.list(from, limit));
            }
            Question::Entries(from, limit, reply) => {
                let _ = reply.send(self.store.read_from(from, limit));
            }
            Question::Quarantined(reply) => {
                let _ = reply.send(self.store.quarantined());
            }
            Question::Callback(id, reply) => {
                let _ = reply.send(self.store.quarantined_callback(id));
            }
        }
    }

    fn show(&mut self) {
        let contents = self.store.contents();
        self.inbox.show(Usage {
            events: contents.events,
            bytes: contents.bytes,
            limit: self.store.max_size(),
            oldest_accepted_at: if contents.events == 0 { None } else { self.store.oldest() },
            quarantine: contents.quarantine,
        });
    }
}

impl Work {
    /// Takes what one commit is to do.
    fn take(queue: &mut Queue) -> Self {
        let forgotten = forget_unwritten(queue);
        let mut writes = Vec::new();
        let mut bytes = 0;
        while bytes < COMMIT_BYTES
            && let Some(entry) = queue.writes.pop_front()
        {
            bytes += entry.weight();
            writes.push(entry);
        }
        // Several threads ask, so what comes together can be out of order by a little.
        writes.sort_by_key(|entry| entry.seq);
        let rest = queue.forgets.split_off(queue.forgets.len().min(COMMIT_REMOVALS));
        let forgets = std::mem::replace(&mut queue.forgets, rest);
        if queue.forgets.is_empty() {
            queue.forgets_since = None;
        }
        let mut work = Self {
            writes,
            forgotten,
            forgets,
            reads: queue.reads.drain(..).collect(),
            keeps: std::mem::take(&mut queue.keeps),
            releases: std::mem::take(&mut queue.releases),
            questions: queue.questions.drain(..).collect(),
            last: false,
        };
        work.last = queue.closing && queue.is_empty();
        work
    }
}

/// Takes entries out that are forgotten before they were written: removed first and written after they would stay.
fn forget_unwritten(queue: &mut Queue) -> Vec<Seq> {
    if queue.forgets.is_empty() || queue.writes.is_empty() {
        return Vec::new();
    }
    let forgets: HashSet<_> = queue.forgets.iter().copied().collect();
    let mut forgotten = Vec::new();
    queue.writes.retain(|entry| {
        let wanted = !forgets.contains(&entry.seq);
        if !wanted {
            forgotten.push(entry.seq);
        }
        wanted
    });
    forgotten
}
