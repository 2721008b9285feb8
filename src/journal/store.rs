//! The durable store: entries and quarantine, sealed, in one file. The only room that meets the `redb` crate.
//!
//! What [`Store::commit`] reports as written is synced. Nothing is removed without being named. After a failure nothing that
//! is in memory is trusted: the file is opened anew, read back from the disk and verified, before it is used again.

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
use rekeying::Place;
use tables::{Changes, KeyCounts, State};

use super::entry::Entry;
use super::fault::JournalRejection;
use super::quarantine::{self, QuarantineId, Quarantined};
use super::row::EntryRef;
use crate::telemetry::log_code::LogCode;

pub use rekeying::KeyChange;

/// What a commit writes beyond its entries, in bytes: pages on the way to them, which are never changed in place.
const COMMIT_HEADROOM: u64 = 1 << 20;

/// Below this size the file is left as it is, in bytes.
const MIN_COMPACTED_SIZE: u64 = 16 << 20;

/// The journal's file, open. One process at a time has it.
pub struct Store {
    path: PathBuf,
    max_size: u64,
    codec: SealedCodec,
    state: State,
    keys: KeyCounts,
    /// Where old keys are looked for next; `None` once everything has been looked at.
    reseal: Option<Place>,
    file: Option<JournalFile>,
    recovery: Recovery,
    _lock: Lock,
}

/// A store just opened, and what is in it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Every entry, in the order of acceptance. Their bodies stay on the disk.
    pub inventory: Vec<EntryRef>,
    /// The place of the next entry. Places are never given twice, as long as the journal is the same.
    pub next: Seq,
    /// How many callbacks are in quarantine.
    pub quarantined: u64,
}

/// What one commit is to change.
#[derive(Default)]
pub struct Batch<'a> {
    /// Entries to be made durable, in the order of acceptance.
    pub puts: &'a [Entry],
    /// Entries to be removed. What is not there is removed already.
    pub removes: &'a [Seq],
    /// Callbacks to be quarantined.
    pub keeps: &'a [Quarantined],
    /// Callbacks to be removed from quarantine.
    pub releases: &'a [QuarantineId],
}

/// What became of a [`Batch`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// What is durable now.
    pub written: Vec<Seq>,
    /// What was not taken, and why.
    pub refused: Vec<(Seq, JournalRejection)>,
    /// Whether the removals are durable; if not, they have to be asked for again.
    pub removed: bool,
    /// What became of each callback to be quarantined, in their order.
    pub kept: Vec<Result<(), JournalRejection>>,
}

/// What is in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Entries.
    pub events: u64,
    /// What entries and quarantine take in the file, in bytes.
    pub bytes: u64,
    /// Callbacks in quarantine.
    pub quarantine: u64,
    /// What the quarantine takes of it, in bytes.
    pub quarantine_bytes: u64,
    /// Entries and callbacks that a key other than the first has sealed.
    pub old_key: u64,
}

impl Store {
    /// Makes a batch durable, with one transaction for all of it. Removals succeed also where there is no room.
    ///
    /// Of what does not fit as much is taken as does, in order, and never an entry of a lane of which an earlier one was
    /// refused.
    pub fn commit(&mut self, batch: &Batch<'_>) -> Committed {
        if let Err(refusal) = self.ready() {
            return Committed::refused(batch, refusal);
        }
        let mut committed = Committed { removed: true, ..Committed::default() };
        let mut changes = Changes {
            removes: batch.removes.iter().map(|seq| seq.0).collect(),
            releases: batch.releases.iter().map(|id| id.0).collect(),
            ..Changes::default()
        };
        let mut bytes = self.admit(batch, &mut changes, &mut committed);
        if bytes > 0 && self.space_for(bytes).is_err() {
            committed.reject(batch, JournalRejection::DiskFull);
            (changes.puts, changes.keeps, bytes) = (Vec::new(), Vec::new(), 0);
        }
        if changes.is_empty() {
            return committed;
        }
        let puts = changes.puts.iter().map(|put| put.key);
        match self.apply(&changes, puts.collect::<Vec<_>>().into_iter()) {
            Ok(()) => committed,
            Err(refusal) => {
                tracing::debug!(bytes, "a commit of the journal has failed");
                Committed::refused(batch, refusal)
            }
        }
    }

    /// Seals what fits below the limit, into `changes`, and says how much that is, in bytes.
    fn admit(&mut self, batch: &Batch<'_>, changes: &mut Changes, committed: &mut Committed) -> u64 {
        let mut bytes = 0;
        let mut full_lanes: HashSet<LaneKey> = HashSet::new();
        for entry in batch.puts {
            if full_lanes.contains(&entry.lane) {
                committed.refused.push((entry.seq, JournalRejection::Full));
                continue;
            }
            let put = self.codec.entry(entry);
            if self.state.bytes + bytes + put.cost() > self.max_size {
                full_lanes.insert(entry.lane);
                committed.refused.push((entry.seq, JournalRejection::Full));
                continue;
            }
            bytes += put.cost();
            committed.written.push(entry.seq);
            changes.puts.push(put);
        }
        let (mut kept_bytes, limit) = (self.state.kept_bytes, quarantine::limit(self.max_size));
        for callback in batch.keeps {
            let put = self.codec.quarantined(callback);
            let cost = put.cost();
            if kept_bytes + cost > limit {
                committed.kept.push(Err(JournalRejection::QuarantineFull));
                continue;
            }
            if self.state.bytes + bytes + cost > self.max_size {
                committed.kept.push(Err(JournalRejection::Full));
                continue;
            }
            (kept_bytes, bytes) = (kept_bytes + cost, bytes + cost);
            committed.kept.push(Ok(()));
            changes.keeps.push(put);
        }
        bytes
    }

    /// Reserves space on the disk for so much more.
    fn space_for(&self, bytes: u64) -> Result<(), JournalRejection> {
        let Some(file) = &self.file else { return Err(JournalRejection::Failed) };
        let accepted = file.room().take(bytes + COMMIT_HEADROOM);
        // Where enough of the file is free inside, no more of the disk is needed. It is scattered, so not all of it counts.
        let free_inside = 4 * (self.state.bytes + bytes + COMMIT_HEADROOM) < 3 * file.room().top();
        if accepted.is_err() && !free_inside { Err(JournalRejection::DiskFull) } else { Ok(()) }
    }

    /// Makes changes. `ghosts` are the entries that are refused if that fails.
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

    /// What is in it, by number.
    #[must_use]
    pub fn contents(&self) -> Contents {
        Contents {
            events: self.state.entries,
            bytes: self.state.bytes,
            quarantine: self.state.kept,
            quarantine_bytes: self.state.kept_bytes,
            old_key: self.keys.others(self.codec.current()).map(|(_, count)| count).sum(),
        }
    }

    /// How many bytes entries and quarantine may take.
    #[must_use]
    pub const fn max_size(&self) -> u64 {
        self.max_size
    }

    /// What the file of a journal of `max_size` can take on the disk, in bytes. Pages are not changed in place, and those
    /// that are free again are scattered; 2.1 times was measured.
    #[must_use]
    pub const fn disk_need(max_size: u64) -> u64 {
        max_size.saturating_mul(9) / 4 + MIN_COMPACTED_SIZE
    }

    /// What the file takes on the disk, in bytes: more than what is in it, until [`Store::compact`].
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.room().size())
    }

    /// Gives the disk back what it can where the file is nearly empty. Takes time by what is left in it.
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

/// The file is closed in order, so that the next start finds it so.
impl Drop for Store {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.take().map(JournalFile::close) {
            tracing::warn!(
                code = LogCode::JournalClose.as_str(),
                cause = %error,
                "the journal was not closed in order; nothing of it is lost"
            );
        }
    }
}

impl Committed {
    /// Nothing was done of it.
    fn refused(batch: &Batch<'_>, refusal: JournalRejection) -> Self {
        let mut committed = Self::default();
        committed.reject(batch, refusal);
        committed
    }

    /// Nothing of it was written; removals are left out of this.
    fn reject(&mut self, batch: &Batch<'_>, refusal: JournalRejection) {
        self.written.clear();
        self.refused = batch.puts.iter().map(|entry| (entry.seq, refusal)).collect();
        self.kept = batch.keeps.iter().map(|_| Err(refusal)).collect();
    }
}

#[cfg(test)]
pub(super) mod fault_injection;
