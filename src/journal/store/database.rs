//! The open database file, and the transactions that change it.
//!
//! Errors and panics of redb, for example on a file that another program has changed, are returned as [`StoreError`].
//!
//! Each commit has two phases with one sync each. A single-phase commit needs only one sync, but a damaged page of the
//! last commit then looks like a commit that a crash has torn. redb would silently roll back to the previous commit,
//! and entries that were reported as durable would be lost. With two phases, the damage is reported.

use std::fmt;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Database, Durability, ReadableDatabase};

use super::preallocation::{Backend, DiskSpace, is_disk_full};
use super::tables::{
    BODIES, Changes, INDEX, IndexedTable, KeyCounts, META, QUARANTINE_BODIES, QUARANTINE_INDEX, STATE, State,
    TableCounts,
};
use crate::journal::entry::{DecodeFault, append, parse};

/// Version of the table layout that this build writes. It is the first byte of the state.
const FORMAT: u8 = 1;

/// Size of redb's cache, in bytes. The journal is written and read in order, so a larger cache does not help.
const CACHE: usize = 16 << 20;

/// Files up to this size, in bytes, are verified completely when they are opened. That takes about two seconds; a
/// larger file would delay the start too long. For a larger file, the page map is saved with each commit, each index
/// row is still verified at the start, and each body is verified when it is read.
const MAX_FULLY_VERIFIED_SIZE: u64 = 1 << 30;

/// Reason why the file cannot be used.
pub(super) enum StoreError {
    DiskFull,
    Locked,
    NoPermission,
    Newer,
    Foreign,
    Damaged(String),
    Io(io::ErrorKind),
}

impl StoreError {
    /// Maps an error of the operating system.
    pub(super) fn of(error: &io::Error) -> Self {
        let kind = error.kind();
        if is_disk_full(error) {
            Self::DiskFull
        } else if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
            Self::NoPermission
        } else if kind == io::ErrorKind::UnexpectedEof {
            Self::Damaged("it ends too early".to_owned())
        } else if kind == io::ErrorKind::InvalidData {
            Self::Damaged(error.to_string())
        } else {
            Self::Io(kind)
        }
    }
}

/// Names pages and error kinds, but no stored data.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("no space on the disk"),
            Self::Locked => f.write_str("in use by another process"),
            Self::NoPermission => f.write_str("no permission"),
            Self::Newer => f.write_str("written by a newer build"),
            Self::Foreign => f.write_str("not the file of a journal"),
            Self::Damaged(how) => f.write_str(how),
            Self::Io(kind) => write!(f, "{kind}"),
        }
    }
}

/// The open database file.
pub(super) struct JournalFile {
    pub(super) database: Database,
    disk_space: Arc<DiskSpace>,
}

impl JournalFile {
    /// Opens the tables of a file. Verifies every page if the file is not larger than [`MAX_FULLY_VERIFIED_SIZE`].
    pub(super) fn open(file: File) -> Result<(Self, State), StoreError> {
        let backend = Backend::new(file).map_err(|error| StoreError::of(&error))?;
        let disk_space = backend.disk_space();
        let verified = disk_space.written_end() <= MAX_FULLY_VERIFIED_SIZE;
        let database = catch_panic(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE).set_check_integrity_on_open(verified);
            Ok(builder.create_with_backend(backend)?)
        })?;
        let opened = Self { database, disk_space };
        let state = opened.state()?;
        Ok((opened, state))
    }

    /// Creates the tables in an empty file.
    pub(super) fn create(file: File) -> Result<(), StoreError> {
        let backend = Backend::new(file).map_err(|error| StoreError::of(&error))?;
        catch_panic(|| {
            let database = Builder::new().set_cache_size(CACHE).create_with_backend(backend)?;
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            transaction.open_table(INDEX)?;
            transaction.open_table(BODIES)?;
            transaction.open_table(QUARANTINE_INDEX)?;
            transaction.open_table(QUARANTINE_BODIES)?;
            transaction.open_table(META)?.insert(STATE, encode(State::default()).as_slice())?;
            transaction.commit()?;
            database.close()?;
            Ok(())
        })
    }

    fn state(&self) -> Result<State, StoreError> {
        let bytes = catch_panic(|| {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(META) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. }) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let state = table.get(STATE)?.map(|value| value.value().to_vec());
            Ok(state)
        })?;
        parse(FORMAT, &bytes.ok_or(StoreError::Foreign)?).map_err(|fault| match fault {
            DecodeFault::Newer(_) => StoreError::Newer,
            DecodeFault::Malformed => StoreError::Damaged("its state is invalid".to_owned()),
        })
    }

    /// Returns the disk space of the file.
    pub(super) fn disk_space(&self) -> &DiskSpace {
        &self.disk_space
    }

    /// Makes all changes durable, or none. Returns the new state, and the change in the number of rows per key.
    pub(super) fn apply(&self, before: State, changes: &Changes) -> Result<(State, KeyCounts), StoreError> {
        catch_panic(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            transaction.set_quick_repair(self.disk_space.written_end() > MAX_FULLY_VERIFIED_SIZE);
            let mut after = State { commits: before.commits + 1, ..before };
            let mut counts = TableCounts { count: before.entries, bytes: before.bytes, keys: KeyCounts::default() };
            {
                let mut table =
                    IndexedTable { index: transaction.open_table(INDEX)?, bodies: transaction.open_table(BODIES)? };
                for seq in &changes.deletes {
                    table.delete(*seq, &mut counts)?;
                }
                table.put_all(&changes.puts, &mut counts)?;
                let next = changes.puts.iter().map(|put| put.key + 1).max();
                after.next = after.next.max(next.unwrap_or_default());
                (after.entries, after.bytes) = (counts.count, counts.bytes);
            }
            if !changes.quarantines.is_empty() || !changes.releases.is_empty() {
                let index = transaction.open_table(QUARANTINE_INDEX)?;
                let mut table = IndexedTable { index, bodies: transaction.open_table(QUARANTINE_BODIES)? };
                (counts.count, counts.bytes) = (before.quarantined, before.quarantine_bytes);
                for id in &changes.releases {
                    table.delete(*id, &mut counts)?;
                }
                for put in &changes.quarantines {
                    table.put(put, &mut counts)?;
                }
                after.bytes = (after.bytes + counts.bytes).saturating_sub(before.quarantine_bytes);
                (after.quarantined, after.quarantine_bytes) = (counts.count, counts.bytes);
            }
            transaction.open_table(META)?.insert(STATE, encode(after).as_slice())?;
            transaction.commit()?;
            Ok((after, counts.keys))
        })
    }

    /// Returns unused space of the file to the disk.
    pub(super) fn compact(&mut self) -> Result<(), StoreError> {
        catch_panic(|| {
            self.database.compact()?;
            Ok(())
        })
    }

    /// Closes the file cleanly, so that the next start needs no repair.
    pub(super) fn close(self) -> Result<(), StoreError> {
        catch_panic(|| Ok(self.database.close()?))
    }
}

fn encode(state: State) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    append(FORMAT, &state, &mut bytes);
    bytes
}

/// Runs a redb operation, and returns a panic as an error.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(store_error),
        Err(panic) => {
            // The text comes from redb and describes pages, not data.
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its structure is broken");
            Err(StoreError::Damaged(text.to_owned()))
        }
    }
}

fn store_error(error: redb::Error) -> StoreError {
    if let redb::Error::Io(error) = &error {
        return StoreError::of(error);
    }
    if matches!(error, redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) {
        return StoreError::Locked;
    }
    StoreError::Damaged(error.to_string())
}
