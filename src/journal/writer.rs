//! The journal's thread, which owns the store. It takes what was queued while the disk was busy, makes it durable with
//! one commit, and reports the results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::JournalEvents;
use super::inbox::{Inbox, QuarantineRequest, Query, Reply};
use super::quarantine::{self, QuarantineId, Quarantined};
use super::rejection_log::RejectionLog;
use super::store::{Batch, Committed, Store};
use super::work::Work;
use crate::telemetry::journal::{JournalRejection, Usage};
use crate::telemetry::log_code::LogCode;

/// Idle time before the file is compacted.
const IDLE_BEFORE_COMPACTION: Duration = Duration::from_secs(5);

/// Idle time before the next rows are sealed with the current key, and the delay after a failure.
const RESEAL: Duration = Duration::from_millis(50);
const RESEAL_LATER: Duration = Duration::from_secs(60);

/// Maximum number of further attempts to finish at shutdown if the file cannot be used. Then the remaining deletions
/// are dropped.
const MAX_CLOSE_RETRIES: u32 = 3;

/// The state of the journal's thread.
pub(super) struct Writer {
    store: Store,
    events: Arc<dyn JournalEvents>,
    inbox: Arc<Inbox>,
    rejection_log: RejectionLog,
    /// True if the file was changed since it was last compacted.
    compaction_due: bool,
    /// No rows are sealed again before this time.
    reseal_from: Instant,
}

impl Writer {
    pub(super) fn new(store: Store, events: Arc<dyn JournalEvents>, inbox: Arc<Inbox>) -> Self {
        for (key, count) in store.old_keys() {
            tracing::warn!(
                code = LogCode::JournalOldKey.as_str(),
                key,
                count,
                "entries are sealed with a key that is not the first of journal.keys; keep it there until \
                 journal_old_key_entries is 0: they are sealed again with the first one in the background"
            );
        }
        let (rejection_log, reseal_from) = (RejectionLog::default(), Instant::now());
        let mut writer = Self { store, events, inbox, rejection_log, compaction_due: false, reseal_from };
        writer.publish_usage();
        writer
    }

    /// Returns the queue of requests.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Runs until the journal is closed.
    pub(super) fn run(&mut self) {
        let mut attempts = 0;
        loop {
            let reseals = self.store.has_old_keys();
            let idle_until = if reseals {
                Some((Instant::now() + RESEAL).max(self.reseal_from))
            } else {
                self.compaction_due.then(|| Instant::now() + IDLE_BEFORE_COMPACTION)
            };
            let inbox = Arc::clone(&self.inbox);
            let Some(work) = inbox.next(idle_until, Work::take) else {
                if reseals {
                    self.reseal();
                } else {
                    self.store.compact();
                    self.compaction_due = false;
                }
                continue;
            };
            let last = work.last;
            let done = self.work(work);
            if last && (done || attempts >= MAX_CLOSE_RETRIES) {
                return;
            }
            attempts += u32::from(last);
        }
    }

    fn reseal(&mut self) {
        if self.store.reseal().is_err() {
            self.reseal_from = Instant::now() + RESEAL_LATER;
        }
        self.compaction_due = true;
        self.publish_usage();
        if self.store.contents().old_key == 0 {
            tracing::info!(
                code = LogCode::JournalResealed.as_str(),
                "everything in the journal is sealed with the first of journal.keys; the others can be removed"
            );
        }
    }

    /// Returns true if nothing is left to do.
    fn work(&mut self, work: Work) -> bool {
        let Work {
            writes,
            cancelled,
            deletes,
            reads,
            quarantine_requests,
            quarantine_bytes,
            releases,
            queries,
            last: _,
        } = work;
        if !cancelled.is_empty() {
            self.events.written(cancelled);
        }
        let (callbacks, replies): (Vec<Quarantined>, Vec<_>) = self.new_only(quarantine_requests).into_iter().unzip();
        let ids: Vec<_> = releases.iter().map(|(id, _)| *id).collect();
        let mut done = true;
        if !(writes.is_empty() && deletes.is_empty() && callbacks.is_empty() && ids.is_empty()) {
            let batch = Batch { puts: &writes, deletes: &deletes, quarantines: &callbacks, releases: &ids };
            let committed = self.store.commit(&batch);
            self.compaction_due |= committed.deleted && !deletes.is_empty();
            if !committed.deleted && !deletes.is_empty() {
                self.inbox.delete_later(&deletes);
                done = false;
            }
            self.publish_usage();
            for (_, reply) in releases {
                let _ = reply.send(if committed.deleted { Ok(()) } else { Err(JournalRejection::Failed) });
            }
            let freed = committed.deleted && committed.rejected.is_empty() && !(deletes.is_empty() && ids.is_empty());
            self.report(committed, &callbacks, replies);
            if freed {
                let contents = self.store.contents();
                self.rejection_log.freed(contents.events, contents.bytes, self.store.max_size());
            }
        }
        self.inbox.committed(quarantine_bytes);
        for seqs in reads {
            match self.store.read(&seqs) {
                Ok(entries) => self.events.read(entries),
                Err(rejection) => self.events.unread(seqs, rejection),
            }
        }
        for query in queries {
            self.answer(query);
        }
        done
    }

    /// Reports the result of a commit.
    fn report(&mut self, committed: Committed, callbacks: &[Quarantined], replies: Vec<Reply<QuarantineId>>) {
        self.rejection_log.record(committed.rejected.first().map(|(_, why)| *why), !committed.written.is_empty());
        if !committed.written.is_empty() {
            self.events.written(committed.written);
        }
        for rejection in JournalRejection::ALL {
            let refused: Vec<_> =
                committed.rejected.iter().filter(|(_, why)| *why == rejection).map(|(seq, _)| *seq).collect();
            if !refused.is_empty() {
                self.events.rejected(refused, rejection);
            }
        }
        for ((callback, reply), result) in callbacks.iter().zip(replies).zip(committed.quarantined) {
            match result {
                Ok(()) => self.inbox.quarantine_accepted(),
                Err(rejection) => self.inbox.quarantine_rejected(rejection),
            }
            // The caller can have stopped waiting.
            let _ = reply.send(result.map(|()| callback.id()));
        }
    }

    /// Confirms callbacks that are in quarantine already, and returns the others.
    fn new_only(&mut self, requests: Vec<QuarantineRequest>) -> Vec<QuarantineRequest> {
        if requests.is_empty() {
            return requests;
        }
        let ids: Vec<_> = requests.iter().map(|(callback, _)| callback.id()).collect();
        let known = match self.store.has_quarantined(&ids) {
            Ok(known) => known,
            Err(rejection) => {
                for (_, reply) in requests {
                    self.inbox.quarantine_rejected(rejection);
                    let _ = reply.send(Err(rejection));
                }
                return Vec::new();
            }
        };
        let mut new = Vec::new();
        for ((request, id), known) in requests.into_iter().zip(ids).zip(known) {
            if known {
                let _ = request.1.send(Ok(id));
            } else {
                new.push(request);
            }
        }
        new
    }

    fn answer(&mut self, query: Query) {
        // The caller can have stopped waiting.
        match query {
            Query::List(from, limit, reply) => {
                let _ = reply.send(self.store.list(from, limit));
            }
            Query::Entries(from, limit, reply) => {
                let _ = reply.send(self.store.read_from(from, limit));
            }
            Query::Quarantined(from, limit, reply) => {
                let _ = reply.send(self.store.quarantined(from, limit));
            }
            Query::CallbackRow(id, reply) => {
                let _ = reply.send(self.store.quarantined_row(id));
            }
            Query::Keys(keys, reply) => {
                let change = self.store.replace_keys(&keys);
                *self.inbox.sealing_key.lock() = self.store.sealing_key();
                self.reseal_from = Instant::now();
                self.publish_usage();
                let _ = reply.send(Ok(change));
            }
            Query::OldKeys(reply) => {
                let _ = reply.send(Ok(self.store.old_keys()));
            }
            Query::Callback(id, reply) => {
                let _ = reply.send(self.store.quarantined_callback(id));
            }
        }
    }

    fn publish_usage(&mut self) {
        let contents = self.store.contents();
        // While the file cannot be read, the entries are still there.
        let oldest_received_at = match contents.events {
            0 => None,
            _ => self.store.oldest().or(self.inbox.usage().oldest_received_at),
        };
        self.inbox.publish_usage(Usage {
            events: contents.events,
            bytes: contents.bytes,
            limit: self.store.max_size(),
            oldest_received_at,
            quarantine: contents.quarantine,
            quarantine_bytes: contents.quarantine_bytes,
            quarantine_limit: quarantine::limit(self.store.max_size()),
            old_key: contents.old_key,
            ..Usage::default()
        });
    }
}
