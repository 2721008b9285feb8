//! The open file: one transaction at a time, and what is read from it.
//!
//! Whatever redb does on a file that something else has changed, including a panic, ends here as [`StoreError`].
//!
//! Each commit is made in two phases, two syncs. One phase needs a single sync, but then a damaged page of the last
//! commit looks like a commit that was torn by a crash, and redb goes back to the one before without a word: entries
//! that were reported as durable would be gone. With two, the same damage is reported.

use std::fmt;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Database, Durability, ReadableDatabase};

use super::preallocation::{Backend, DiskSpace, full};
use super::tables::{
    BODIES, Changes, INDEX, IndexedTable, KEPT_BODIES, KEPT_INDEX, KeyCounts, META, STATE, State, TableCounts,
};
use crate::journal::entry::{DecodeFault, append, parse};

/// The layout of the tables that this build writes; it is the first byte of the state.
const FORMAT: u8 = 1;

/// What redb may keep of the file in memory, in bytes. The journal is written and read in order, so more is of no use.
const CACHE: usize = 16 << 20;

/// Up to this size a file is verified as a whole when it is opened, in bytes. That takes about two seconds; of a larger
/// one the start cannot wait for it. Then the map of its pages is written with each commit, the index is verified row by
/// row all the same, and each body by its seal when it is read.
const VERIFY_BATCH: u64 = 1 << 30;

/// Why the file cannot be used.
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
    /// What an error of the operating system means.
    pub(super) fn of(error: &io::Error) -> Self {
        let kind = error.kind();
        if full(error) {
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

/// Names pages and kinds of errors, nothing of what is kept.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("no room on the disk"),
            Self::Locked => f.write_str("in use by another process"),
            Self::NoPermission => f.write_str("no permission"),
            Self::Newer => f.write_str("written by a newer build"),
            Self::Foreign => f.write_str("not the file of a journal"),
            Self::Damaged(how) => f.write_str(how),
            Self::Io(kind) => write!(f, "{kind}"),
        }
    }
}

/// The open file.
pub(super) struct JournalFile {
    pub(super) database: Database,
    room: Arc<DiskSpace>,
}

impl JournalFile {
    /// Opens the tables in a file. Up to [`VERIFY_BATCH`] it is verified page by page.
    pub(super) fn open(file: File) -> Result<(Self, State), StoreError> {
        let backend = Backend::new(file).map_err(|error| StoreError::of(&error))?;
        let room = backend.disk_space();
        let verified = room.top() <= VERIFY_BATCH;
        let database = catch_panic(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE).set_check_integrity_on_open(verified);
            Ok(builder.create_with_backend(backend)?)
        })?;
        let base = Self { database, room };
        let state = base.state()?;
        Ok((base, state))
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
            transaction.open_table(KEPT_INDEX)?;
            transaction.open_table(KEPT_BODIES)?;
            transaction.open_table(META)?.insert(STATE, encoded(State::default()).as_slice())?;
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
            DecodeFault::Malformed => StoreError::Damaged("its state makes no sense".to_owned()),
        })
    }

    /// What there is of room on the disk.
    pub(super) fn room(&self) -> &DiskSpace {
        &self.room
    }

    /// Makes the changes durable, all or none. Returns what the disk holds then, and how many rows more or fewer each key
    /// seals.
    pub(super) fn apply(&self, before: State, changes: &Changes) -> Result<(State, KeyCounts), StoreError> {
        catch_panic(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            transaction.set_quick_repair(self.room.top() > VERIFY_BATCH);
            let mut after = State { commits: before.commits + 1, ..before };
            let mut tally = TableCounts { count: before.entries, bytes: before.bytes, keys: KeyCounts::default() };
            {
                let mut table =
                    IndexedTable { index: transaction.open_table(INDEX)?, bodies: transaction.open_table(BODIES)? };
                for seq in &changes.removes {
                    table.remove(*seq, &mut tally)?;
                }
                table.put_all(&changes.puts, &mut tally)?;
                let next = changes.puts.iter().map(|put| put.key + 1).max();
                after.next = after.next.max(next.unwrap_or_default());
                (after.entries, after.bytes) = (tally.count, tally.bytes);
            }
            if !changes.keeps.is_empty() || !changes.releases.is_empty() {
                let index = transaction.open_table(KEPT_INDEX)?;
                let mut table = IndexedTable { index, bodies: transaction.open_table(KEPT_BODIES)? };
                (tally.count, tally.bytes) = (before.kept, before.kept_bytes);
                for id in &changes.releases {
                    table.remove(*id, &mut tally)?;
                }
                for put in &changes.keeps {
                    table.put(put, &mut tally)?;
                }
                after.bytes = (after.bytes + tally.bytes).saturating_sub(before.kept_bytes);
                (after.kept, after.kept_bytes) = (tally.count, tally.bytes);
            }
            transaction.open_table(META)?.insert(STATE, encoded(after).as_slice())?;
            transaction.commit()?;
            Ok((after, tally.keys))
        })
    }

    /// Gives the disk back what the file takes beyond what is in it.
    pub(super) fn compact(&mut self) -> Result<(), StoreError> {
        catch_panic(|| {
            self.database.compact()?;
            Ok(())
        })
    }

    /// Closes the file, so that the next start finds it in order.
    pub(super) fn close(self) -> Result<(), StoreError> {
        catch_panic(|| Ok(self.database.close()?))
    }
}

fn encoded(state: State) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    append(FORMAT, &state, &mut bytes);
    bytes
}

/// Runs something of redb's; a panic is an error like any other.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(broken),
        Err(panic) => {
            // The text is redb's own and speaks of pages.
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its structure is broken");
            Err(StoreError::Damaged(text.to_owned()))
        }
    }
}

fn broken(error: redb::Error) -> StoreError {
    if let redb::Error::Io(error) = &error {
        return StoreError::of(error);
    }
    if matches!(error, redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) {
        return StoreError::Locked;
    }
    StoreError::Damaged(error.to_string())
}
