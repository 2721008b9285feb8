//! The durable store: sealed entries and quarantined callbacks in one file. The only module that uses `redb`.
//!
//! What [`Store::commit`] reports as written is synced. Nothing is deleted without being named. After a failure nothing
//! that is in memory is trusted: the file is reopened, read back from the disk and verified, before it is used again.

mod codec;
mod database;
mod open;
mod preallocation;
mod reading;
mod recovery;
mod rekeying;
mod rows;
mod tables;

use std::collections::HashSet;
use std::path::PathBuf;

use codec::SealedCodec;
use database::JournalFile;
use open::Lock;
use outbox::{LaneKey, Seq};
use recovery::Recovery;
use rekeying::RekeyPosition;
use tables::{Changes, KeyCounts, State};

use super::entry::Entry;
use super::quarantine::{self, QuarantineId, Quarantined};
use super::row::EntryRef;
use crate::telemetry::journal::JournalRejection;
use crate::telemetry::log_code::LogCode;

pub use rekeying::KeyChange;

/// Space that a commit needs besides its entries, in bytes: redb writes changed tree pages to a new place.
const COMMIT_HEADROOM: u64 = 1 << 20;

/// A smaller file is not compacted, in bytes.
const MIN_COMPACTED_SIZE: u64 = 16 << 20;

/// The open journal file. Only one process at a time can open it.
pub struct Store {
    path: PathBuf,
    max_size: u64,
    codec: SealedCodec,
    state: State,
    keys: KeyCounts,
    /// Where the search for rows with old keys continues; `None` after all rows have been checked.
    reseal: Option<RekeyPosition>,
    file: Option<JournalFile>,
    recovery: Recovery,
    _lock: Lock,
}

/// A store that was just opened, and its contents.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Every entry, in the order of acceptance. The bodies stay on disk.
    pub inventory: Vec<EntryRef>,
    /// Sequence number of the next entry. A journal never uses a number twice.
    pub next: Seq,
    /// Number of callbacks in quarantine.
    pub quarantined: u64,
}

/// The changes of one commit.
#[derive(Default)]
pub struct Batch<'a> {
    /// Entries to make durable, in the order of acceptance.
    pub puts: &'a [Entry],
    /// Entries to delete. Entries that do not exist are ignored.
    pub deletes: &'a [Seq],
    /// Callbacks to quarantine.
    pub quarantines: &'a [Quarantined],
    /// Callbacks to remove from quarantine.
    pub releases: &'a [QuarantineId],
}

/// Result of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Entries that are durable now.
    pub written: Vec<Seq>,
    /// Entries that were rejected, with the reason.
    pub rejected: Vec<(Seq, JournalRejection)>,
    /// True if the deletions are durable. Otherwise, request them again.
    pub deleted: bool,
    /// Result of each callback to quarantine, in the order of the batch.
    pub quarantined: Vec<Result<(), JournalRejection>>,
}

/// Counts and sizes of the store's contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Number of entries.
    pub events: u64,
    /// Size of entries and quarantine in the file, in bytes.
    pub bytes: u64,
    /// Number of callbacks in quarantine.
    pub quarantine: u64,
    /// Size of the quarantine, in bytes. Included in `bytes`.
    pub quarantine_bytes: u64,
    /// Number of entries and callbacks sealed with a key other than the first.
    pub old_key: u64,
}

impl Store {
    /// Commits a batch in one transaction. Deletions succeed even if there is no space.
    ///
    /// If the batch exceeds the limit, commits what fits, in order, and a prefix per lane: once an entry of a lane is
    /// rejected, later entries of that lane are too.
    pub fn commit(&mut self, batch: &Batch<'_>) -> Committed {
        if let Err(rejection) = self.ready() {
            return Committed::all_rejected(batch, rejection);
        }
        let mut committed = Committed { deleted: true, ..Committed::default() };
        let mut changes = Changes {
            deletes: batch.deletes.iter().map(|seq| seq.0).collect(),
            releases: batch.releases.iter().map(|id| id.0).collect(),
            ..Changes::default()
        };
        let mut bytes = self.admit(batch, &mut changes, &mut committed);
        if bytes > 0 && self.space_for(bytes).is_err() {
            committed.reject(batch, JournalRejection::DiskFull);
            (changes.puts, changes.quarantines, bytes) = (Vec::new(), Vec::new(), 0);
        }
        if changes.is_empty() {
            return committed;
        }
        let puts = changes.puts.iter().map(|put| put.key);
        match self.apply(&changes, puts.collect::<Vec<_>>().into_iter()) {
            Ok(()) => {
                self.recovery.commit_succeeded();
                committed
            }
            Err(rejection) => {
                tracing::debug!(bytes, "a commit of the journal has failed");
                Committed::all_rejected(batch, rejection)
            }
        }
    }

    /// Seals what fits below the limit, and adds it to `changes`. Returns the added size, in bytes.
    fn admit(&mut self, batch: &Batch<'_>, changes: &mut Changes, committed: &mut Committed) -> u64 {
        let mut bytes = 0;
        let mut full_lanes: HashSet<LaneKey> = HashSet::new();
        for entry in batch.puts {
            if full_lanes.contains(&entry.lane) {
                committed.rejected.push((entry.seq, JournalRejection::Full));
                continue;
            }
            let put = self.codec.seal_entry(entry);
            if self.state.bytes + bytes + put.cost() > self.max_size {
                full_lanes.insert(entry.lane);
                committed.rejected.push((entry.seq, JournalRejection::Full));
                continue;
            }
            bytes += put.cost();
            committed.written.push(entry.seq);
            changes.puts.push(put);
        }
        let (mut quarantine_bytes, limit) = (self.state.quarantine_bytes, quarantine::limit(self.max_size));
        for callback in batch.quarantines {
            let put = self.codec.seal_quarantined(callback);
            let cost = put.cost();
            if quarantine_bytes + cost > limit {
                committed.quarantined.push(Err(JournalRejection::QuarantineFull));
                continue;
            }
            if self.state.bytes + bytes + cost > self.max_size {
                committed.quarantined.push(Err(JournalRejection::Full));
                continue;
            }
            (quarantine_bytes, bytes) = (quarantine_bytes + cost, bytes + cost);
            committed.quarantined.push(Ok(()));
            changes.quarantines.push(put);
        }
        bytes
    }

    /// Reserves space on the disk for so much more.
    fn space_for(&self, bytes: u64) -> Result<(), JournalRejection> {
        let Some(file) = &self.file else { return Err(JournalRejection::Failed) };
        let accepted = file.disk_space().reserve(bytes + COMMIT_HEADROOM);
        // Free pages inside the file can make disk space unnecessary. They are scattered, so only a part of them
        // counts.
        let free_inside = 4 * (self.state.bytes + bytes + COMMIT_HEADROOM) < 3 * file.disk_space().written_end();
        if accepted.is_err() && !free_inside { Err(JournalRejection::DiskFull) } else { Ok(()) }
    }

    /// Applies the changes in one transaction. If it fails, the entries in `possibly_written` are reported as rejected,
    /// but can still be on the disk.
    fn apply(
        &mut self,
        changes: &Changes,
        possibly_written: impl Iterator<Item = u64>,
    ) -> Result<(), JournalRejection> {
        let Some(file) = &self.file else { return Err(JournalRejection::Failed) };
        match file.apply(self.state, changes) {
            Ok((state, keys)) => {
                self.state = state;
                self.keys.apply(&keys);
                Ok(())
            }
            Err(error) => Err(self.require_verification(&error, possibly_written)),
        }
    }

    /// Returns the counts and sizes of the contents.
    #[must_use]
    pub fn contents(&self) -> Contents {
        Contents {
            events: self.state.entries,
            bytes: self.state.bytes,
            quarantine: self.state.quarantined,
            quarantine_bytes: self.state.quarantine_bytes,
            old_key: self.keys.others(self.codec.current()).map(|(_, count)| count).sum(),
        }
    }

    /// Returns the limit for entries and quarantine, in bytes.
    #[must_use]
    pub const fn max_size(&self) -> u64 {
        self.max_size
    }

    /// Returns the disk space that a journal of `max_size` can need, in bytes. redb does not change pages in place, and
    /// its free pages are scattered; the measured factor is 2.1.
    #[must_use]
    pub const fn disk_need(max_size: u64) -> u64 {
        max_size.saturating_mul(9) / 4 + MIN_COMPACTED_SIZE
    }

    /// Returns the size of the file on disk, in bytes. It exceeds the contents until [`Store::compact`] runs.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.disk_space().size())
    }

    /// Shrinks the file if it is nearly empty. Takes time in proportion to the remaining contents.
    pub fn compact(&mut self) {
        if self.size_on_disk() < MIN_COMPACTED_SIZE || self.state.bytes * 8 > self.size_on_disk() {
            return;
        }
        let compacted = self.file.as_mut().map_or(Ok(()), JournalFile::compact);
        if let Err(error) = compacted {
            self.require_verification(&error, std::iter::empty());
        }
    }
}

/// Closes the file cleanly, so that the next start needs no repair.
impl Drop for Store {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.take().map(JournalFile::close) {
            tracing::warn!(
                code = LogCode::JournalClose.as_str(),
                cause = %error,
                "the journal was not closed properly; nothing was lost"
            );
        }
    }
}

impl Committed {
    /// Creates the result of a batch of which nothing was done.
    fn all_rejected(batch: &Batch<'_>, rejection: JournalRejection) -> Self {
        let mut committed = Self::default();
        committed.reject(batch, rejection);
        committed
    }

    /// Marks all entries and callbacks as rejected. Does not change `deleted`.
    fn reject(&mut self, batch: &Batch<'_>, rejection: JournalRejection) {
        self.written.clear();
        self.rejected = batch.puts.iter().map(|entry| (entry.seq, rejection)).collect();
        self.quarantined = batch.quarantines.iter().map(|_| Err(rejection)).collect();
    }
}

#[cfg(test)]
pub(super) mod fault_injection;
