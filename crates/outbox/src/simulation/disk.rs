//! The disk of a journal with all its faults: unsynced data is lost, commits fail or seem to fail, it is full, and
//! results arrive late.

use std::collections::BTreeMap;

use super::payload::Payload;
use crate::event::Publication;
use crate::{LaneKey, Millis, Seq};

/// Back-off before a failed removal is tried again, in milliseconds.
const RETRY: Millis = 200;

/// The synced state, and the operations that are not synced yet.
#[derive(Default)]
pub(super) struct Disk {
    /// The synced entries.
    pub(super) entries: BTreeMap<Seq, Payload>,
    /// The sequence number of the next entry. Survives a crash like the entries.
    pub(super) next: u64,
    puts: Vec<(Seq, Payload)>,
    deletes: Vec<Seq>,
    /// The commit in progress.
    committing: Option<Commit>,
    /// Entries that were reported as rejected but are on the disk, until the next commit.
    possibly_written: Vec<Seq>,
    /// A commit with only removals waits until this time.
    retry_at: Millis,
    /// Number of commits, for random decisions.
    pub(super) commits: u64,
}

struct Commit {
    puts: Vec<(Seq, Payload)>,
    deletes: Vec<Seq>,
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It succeeds. Entries without room are rejected.
    Done,
    /// Nothing is added.
    Full,
    /// It fails, and nothing is done.
    Failed,
    /// It is reported as failed, but is done.
    Doubtful,
}

/// The reported result of a commit.
#[derive(Debug, Default)]
pub(super) struct CommitResult {
    pub(super) written: Vec<Seq>,
    pub(super) refused: Vec<Seq>,
}

impl Disk {
    pub(super) fn put(&mut self, seq: Seq, payload: Payload) {
        self.puts.push((seq, payload));
    }

    pub(super) fn delete(&mut self, seq: Seq) {
        self.deletes.push(seq);
    }

    /// Cancels the write of an entry, unless its commit has begun. Returns true if it is cancelled.
    pub(super) fn cancel(&mut self, seq: Seq) -> bool {
        let before = self.puts.len();
        self.puts.retain(|(there, _)| *there != seq);
        self.puts.len() < before
    }

    /// Returns true if an entry is being written, or is going to be.
    pub(super) fn is_writing(&self, seq: Seq) -> bool {
        let committing = self.committing.iter().flat_map(|commit| &commit.puts);
        self.puts.iter().chain(committing).any(|(there, _)| *there == seq)
    }

    /// Returns true if the event is synced.
    pub(super) fn has(&self, event: usize) -> bool {
        self.places(event).next().is_some()
    }

    /// Returns the sequence numbers under which the event is synced.
    pub(super) fn places(&self, event: usize) -> impl Iterator<Item = Seq> {
        self.entries.iter().filter(move |(_, payload)| payload.spec.event == event).map(|(seq, _)| *seq)
    }

    /// Returns how many bytes are used.
    pub(super) fn bytes(&self) -> usize {
        self.entries.values().map(Publication::bytes).sum()
    }

    /// Starts a commit with all waiting operations. Returns false if there are none, or if a commit is in progress.
    pub(super) fn begin(&mut self, now: Millis) -> bool {
        let deletes = !self.deletes.is_empty() && now >= self.retry_at;
        if self.committing.is_some() || (self.puts.is_empty() && !deletes) {
            return false;
        }
        let (puts, deletes) = (std::mem::take(&mut self.puts), std::mem::take(&mut self.deletes));
        self.committing = Some(Commit { puts, deletes });
        self.commits += 1;
        true
    }

    /// Returns when failed removals are tried again, if there are any.
    pub(super) fn retry_at(&mut self, outcome: Outcome, now: Millis) -> Option<Millis> {
        let failed = match outcome {
            Outcome::Done | Outcome::Full => false,
            Outcome::Failed | Outcome::Doubtful => !self.deletes.is_empty(),
        };
        self.retry_at = if failed { now + RETRY } else { 0 };
        failed.then_some(self.retry_at)
    }

    /// Ends a commit.
    pub(super) fn end(&mut self, outcome: Outcome, most: usize) -> CommitResult {
        let Some(Commit { puts, deletes }) = self.committing.take() else { return CommitResult::default() };
        let mut result = CommitResult::default();
        match outcome {
            Outcome::Failed => {
                result.refused.extend(puts.iter().map(|(seq, _)| *seq));
                self.deletes.splice(0..0, deletes);
            }
            Outcome::Doubtful => {
                result.refused.extend(puts.iter().map(|(seq, _)| *seq));
                let (fitting, _) = self.fitting(puts, most);
                self.possibly_written.extend(fitting.iter().map(|(seq, _)| *seq));
                self.persist(fitting);
                self.deletes.splice(0..0, deletes);
            }
            Outcome::Full => {
                self.write_partially();
                result.refused.extend(puts.iter().map(|(seq, _)| *seq));
                self.take_out(&deletes);
            }
            Outcome::Done => {
                self.write_partially();
                let (fitting, refused) = self.fitting(puts, most);
                result.written.extend(fitting.iter().map(|(seq, _)| *seq));
                result.refused = refused;
                self.take_out(&deletes);
                self.persist(fitting);
            }
        }
        result
    }

    /// The process ends. The commit in progress is done or not.
    pub(super) fn crash(&mut self, lucky: bool, most: usize) {
        self.puts.clear();
        self.deletes.clear();
        self.retry_at = 0;
        if lucky {
            self.end(Outcome::Done, most);
        }
        self.committing = None;
        // The next process takes the disk as it is.
        self.possibly_written.clear();
    }

    fn write_partially(&mut self) {
        let possibly_written = std::mem::take(&mut self.possibly_written);
        self.take_out(&possibly_written);
    }

    fn take_out(&mut self, seqs: &[Seq]) {
        for seq in seqs {
            self.entries.remove(seq);
        }
    }

    fn persist(&mut self, puts: Vec<(Seq, Payload)>) {
        for (seq, payload) in puts {
            self.next = self.next.max(seq.0 + 1);
            self.entries.insert(seq, payload);
        }
    }

    /// Splits entries into those that fit, in order, and the rejected ones. After a rejected entry, further entries of
    /// its lane are rejected too.
    fn fitting(&self, puts: Vec<(Seq, Payload)>, most: usize) -> (Vec<(Seq, Payload)>, Vec<Seq>) {
        let mut bytes = self.bytes();
        let (mut fitting, mut refused) = (Vec::new(), Vec::new());
        let mut fenced: Vec<LaneKey> = Vec::new();
        for (seq, payload) in puts {
            let lane = payload.spec.lane_key();
            if fenced.contains(&lane) || bytes + payload.bytes() > most {
                fenced.push(lane);
                refused.push(seq);
            } else {
                bytes += payload.bytes();
                fitting.push((seq, payload));
            }
        }
        (fitting, refused)
    }
}
