//! How the journal's file is found, made, locked and verified. Each fault is distinguished, and none changes the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::jose::seal::{KeyId, SealFault};
use outbox::Seq;

use super::codec::SealedCodec;
use super::database::{JournalFile, StoreError};
use super::recovery::Recovery;
use super::rekeying::RekeyPosition;
use super::tables::State;
use super::{Opened, Store};
use crate::journal::fault::OpenFault;
use crate::journal::quarantine::QuarantineId;
use crate::journal::row::EntryRef;

/// Name of the journal's file.
pub(super) const FILE: &str = "journal.redb";
/// Name of a new file until it is complete.
const UNFINISHED: &str = "journal.redb.new";
/// Locked by the process that uses the journal. A separate file, because the journal's file is opened again after a
/// failure.
const LOCK: &str = "journal.lock";
/// First bytes of a redb file.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Locks the directory for this process until it is dropped.
pub(super) struct Lock {
    _file: File,
}

impl Store {
    /// The name of the journal's file in its directory.
    pub const FILE: &'static str = FILE;

    /// Returns true if there is a journal in the directory.
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Opens the journal in `directory`, or creates an empty one. The first of `keys` seals, all keys open. `max_size`
    /// is the limit for entries and quarantine, in bytes.
    ///
    /// The duration depends on the file's size, because all of it is verified.
    ///
    /// # Errors
    /// Returns an [`OpenFault`]. Nothing was changed then.
    pub fn open(directory: &Path, keys: &[Arc<ContentKey>], max_size: u64) -> Result<Opened, OpenFault> {
        fs::create_dir_all(directory).map_err(|error| fault(directory, &error))?;
        let lock = Lock::take(&directory.join(LOCK))?;
        let path = directory.join(FILE);
        if !path.try_exists().map_err(|error| fault(&path, &error))? {
            create(directory, &path)?;
        }
        let (file, state) = open(&path)?;
        let mut codec =
            SealedCodec::new(keys).ok_or_else(|| OpenFault::UnknownKey("none".to_owned(), state.entries))?;
        let inventory = verify_index(&file, state, &mut codec, &path)?;
        let keys = file.key_counts().map_err(|error| error.at(&path))?;
        let (reseal, file, recovery) = (Some(RekeyPosition::Entries(0)), Some(file), Recovery::default());
        let mut store = Self { path, max_size, codec, state, keys, reseal, file, recovery, _lock: lock };
        store.compact();
        Ok(Opened { store, inventory, next: Seq(state.next), quarantined: state.quarantined })
    }
}

impl Lock {
    fn take(path: &Path) -> Result<Self, OpenFault> {
        let mut file = options().create(true).open(path).map_err(|error| fault(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the error message.
                let _ = file.read_to_string(&mut holder);
                return Err(OpenFault::Locked(directory(path), holder.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(fault(path, &error)),
        }
        // Only for the error message of another process.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Creates an empty journal under another name, and renames it once it is complete and synced: so a file of that name
/// is never a half-made one.
fn create(directory: &Path, path: &Path) -> Result<(), OpenFault> {
    let unfinished = directory.join(UNFINISHED);
    let made = options().create(true).truncate(true).open(&unfinished).map_err(|error| fault(&unfinished, &error))?;
    JournalFile::create(made).map_err(|error| error.at(&unfinished))?;
    let renamed = fs::rename(&unfinished, path).and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(|error| fault(path, &error))
}

/// Opens an existing file.
pub(super) fn open(path: &Path) -> Result<(JournalFile, State), OpenFault> {
    let mut file = options().open(path).map_err(|error| fault(path, &error))?;
    let mut beginning = Vec::new();
    Read::take(&mut file, MAGIC.len() as u64).read_to_end(&mut beginning).map_err(|error| fault(path, &error))?;
    if beginning != MAGIC {
        return Err(match MAGIC.starts_with(&beginning) {
            true => OpenFault::Damaged(path.to_owned(), format!("it ends after {} bytes", beginning.len())),
            false => OpenFault::Foreign(path.to_owned()),
        });
    }
    JournalFile::open(file).map_err(|error| error.at(path))
}

/// Verifies the index: every row must open, and the numbers of rows must match the last commit. Returns the entries.
fn verify_index(
    file: &JournalFile,
    state: State,
    codec: &mut SealedCodec,
    path: &Path,
) -> Result<Vec<EntryRef>, OpenFault> {
    let damaged = |how: String| OpenFault::Damaged(path.to_owned(), how);
    let counts = file.counts().map_err(|error| error.at(path))?;
    let expected = [state.entries, state.entries, state.quarantined, state.quarantined];
    if counts != expected {
        return Err(damaged(format!("its tables have {counts:?} rows instead of {expected:?}")));
    }
    let mut inventory = Vec::with_capacity(usize::try_from(state.entries).unwrap_or_default());
    let mut unreadable = UnreadableRows::default();
    file.rows(0, |seq, row| {
        match codec.open_ref(Seq(seq), row) {
            Ok(listed) => inventory.push(listed),
            Err(fault) => unreadable.add(fault),
        }
        true
    })
    .map_err(|error| error.at(path))?;
    file.quarantine_rows(0, |id, row| {
        if let Err(fault) = codec.quarantine_row(QuarantineId(id), row) {
            unreadable.add(fault);
        }
        true
    })
    .map_err(|error| error.at(path))?;
    unreadable.fault(path).map_or(Ok(inventory), Err)
}

/// Rows that cannot be opened, by cause.
#[derive(Default)]
struct UnreadableRows {
    unknown: BTreeMap<KeyId, u64>,
    newer: bool,
    damaged: u64,
}

impl UnreadableRows {
    fn add(&mut self, fault: SealFault) {
        match fault {
            SealFault::UnknownKey(id) => *self.unknown.entry(id).or_default() += 1,
            SealFault::Newer(_) => self.newer = true,
            SealFault::Damaged => self.damaged += 1,
        }
    }

    /// Returns the most serious fault.
    fn fault(self, path: &Path) -> Option<OpenFault> {
        if self.damaged > 0 {
            let how = format!("{} of its entries cannot be decrypted although their keys are configured", self.damaged);
            return Some(OpenFault::Damaged(path.to_owned(), how));
        }
        if self.newer {
            return Some(OpenFault::Newer(path.to_owned()));
        }
        let (id, count) = self.unknown.into_iter().max_by_key(|(_, count)| *count)?;
        Some(OpenFault::UnknownKey(id.to_string(), count))
    }
}

impl StoreError {
    /// Converts the error into the fault of the file at this path.
    pub(super) fn at(self, path: &Path) -> OpenFault {
        let path = path.to_owned();
        match self {
            Self::DiskFull => OpenFault::DiskFull(path),
            Self::Locked => OpenFault::Locked(directory(&path), None),
            Self::NoPermission => OpenFault::NoPermission(path),
            Self::Newer => OpenFault::Newer(path),
            Self::Foreign => OpenFault::Foreign(path),
            Self::Damaged(how) => OpenFault::Damaged(path, how),
            Self::Io(kind) => OpenFault::Unusable(path, kind),
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn directory(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

fn fault(path: &Path, error: &io::Error) -> OpenFault {
    StoreError::of(error).at(path)
}
