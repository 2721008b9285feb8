//! The work of one commit: what was queued while the disk was busy, up to a limit.

use outbox::Seq;

use super::entry::Entry;
use super::inbox::{QuarantineRequest, Query, Queue, Reply};
use super::quarantine::QuarantineId;

/// Limits of one commit: bytes of entries (and, separately, of callbacks), and number of deletions. They bound the time
/// that a commit takes.
const COMMIT_BYTES: usize = 4 << 20;
const COMMIT_DELETIONS: usize = 20_000;

/// What the journal's thread handles at once.
pub(super) struct Work {
    pub(super) writes: Vec<Entry>,
    /// Entries that are no longer needed, before they were written.
    pub(super) cancelled: Vec<Seq>,
    pub(super) deletes: Vec<Seq>,
    pub(super) reads: Vec<Vec<Seq>>,
    pub(super) quarantine_requests: Vec<QuarantineRequest>,
    pub(super) quarantine_bytes: usize,
    pub(super) releases: Vec<(QuarantineId, Reply<()>)>,
    pub(super) queries: Vec<Query>,
    /// True if the journal is closing and nothing is left in the queue.
    pub(super) last: bool,
}

impl Work {
    /// Removes the work of one commit from the queue.
    pub(super) fn take(queue: &mut Queue) -> Self {
        let mut writes = Vec::new();
        let mut bytes = 0;
        while bytes < COMMIT_BYTES
            && let Some((_, entry)) = queue.writes.pop_first()
        {
            bytes += entry.weight();
            writes.push(entry);
        }
        let (mut quarantine_requests, mut quarantine_bytes) = (Vec::new(), 0);
        while quarantine_bytes < COMMIT_BYTES
            && let Some(request) = queue.quarantine_requests.pop_front()
        {
            quarantine_bytes += request.0.weight();
            quarantine_requests.push(request);
        }
        queue.writing = writes.len();
        let rest = queue.deletes.split_off(queue.deletes.len().min(COMMIT_DELETIONS));
        let deletes = std::mem::replace(&mut queue.deletes, rest);
        if queue.deletes.is_empty() {
            queue.deletes_since = None;
        }
        let mut work = Self {
            writes,
            cancelled: std::mem::take(&mut queue.cancelled),
            deletes,
            reads: queue.reads.drain(..).collect(),
            quarantine_requests,
            quarantine_bytes,
            releases: std::mem::take(&mut queue.releases),
            queries: queue.queries.drain(..).collect(),
            last: false,
        };
        work.last = queue.closing && queue.is_empty();
        work
    }
}
