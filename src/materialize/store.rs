//! The working state on disk (redb): for each partition, the state of its entities and how far it goes.
//!
//! It is a cache of the state topics. A file that cannot be read is replaced by an empty one, and whatever is missing is
//! restored from the topics. Memory stays the same however many entities there are.

mod tables;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use idaas_state::{Deletion, Time};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable};

use self::tables::{CHECKPOINTS, Names, decode, encode};

use crate::telemetry::log_code::LogCode;

/// The file. Its name has the version of the layout.
const FILE: &str = "state-v1.redb";

/// Locked by the process that uses the directory.
const LOCK: &str = "state.lock";

/// Holds the id of this instance.
const INSTANCE: &str = "state.instance";

/// What redb may keep of the file in memory, in bytes.
const CACHE: usize = 64 << 20;

/// What is known of an entity, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// The value of its state record.
    Live(Vec<u8>),
    /// It was deleted.
    Deleted(Deletion),
}

/// How far the working state of a partition goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The offset of the first event that is not included.
    pub(super) input: i64,
    /// The offset of the first state record that is not included.
    pub(super) position: i64,
    /// When it was written, in milliseconds since 1970.
    pub(super) saved_at: i64,
    /// How many entities exist.
    pub(super) live: u64,
    /// How many deletions are remembered.
    pub(super) deleted: u64,
}

/// Changes of one partition.
pub(super) struct Update<'a> {
    /// The state topic.
    pub(super) topic: &'a str,
    /// The partition.
    pub(super) number: i32,
    /// Keys and what is known now; the last row of a key counts.
    pub(super) rows: Vec<(&'a [u8], &'a Row)>,
    /// How far the state goes now. The counts are computed.
    pub(super) checkpoint: Checkpoint,
    /// Deletions that were recorded before this are forgotten.
    pub(super) forget_before: Time,
}

/// Why the store cannot be used.
#[derive(Debug)]
pub(super) enum StoreError {
    /// Another process uses the directory.
    Locked(PathBuf),
    /// The operating system does not allow it.
    Io(PathBuf, io::Error),
    /// The file is damaged, or cannot be written.
    Broken(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "\"{}\" is in use by another process", path.display()),
            Self::Io(path, error) => write!(f, "\"{}\" cannot be used: {error}", path.display()),
            Self::Broken(problem) => write!(f, "the working state cannot be used: {problem}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The open store.
pub(super) struct Store {
    database: Database,
    instance: String,
    _lock: File,
}

impl Store {
    /// Opens the store of a directory. Replaces a file that cannot be read by an empty one.
    ///
    /// # Errors
    /// [`StoreError`] if the directory cannot be used, or another process uses it.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io(path, error)
        };
        fs::create_dir_all(directory).map_err(io(directory))?;
        let lock_path = directory.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StoreError::Io(lock_path, error)),
        }
        let instance_path = directory.join(INSTANCE);
        let instance = instance(&instance_path).map_err(io(&instance_path))?;
        let path = directory.join(FILE);
        let open = || guarded(|| Ok(Builder::new().set_cache_size(CACHE).create(&path)?));
        let database = open().or_else(|error| {
            tracing::warn!(code = LogCode::StateStoreDiscarded.as_str(), %error, "the working state is restored from the topics");
            fs::remove_file(&path).map_err(io(&path))?;
            open()
        })?;
        Ok(Self { database, instance, _lock: lock })
    }

    /// The id of the instance that uses this directory.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// How far the state of a partition goes; `None` if there is none.
    pub(super) fn checkpoint(&self, topic: &str, number: i32) -> Result<Option<Checkpoint>, StoreError> {
        guarded(|| {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(CHECKPOINTS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let found = table.get(Names::new(topic, number).rows.as_str())?;
            Ok(found.map(|found| Checkpoint::from(found.value())))
        })
    }

    /// What is known of some entities of a partition, in the order of their keys.
    pub(super) fn rows(&self, topic: &str, number: i32, keys: &[&[u8]]) -> Result<Vec<Option<Row>>, StoreError> {
        guarded(|| {
            let transaction = self.database.begin_read()?;
            let names = Names::new(topic, number);
            let table = match transaction.open_table(names.rows()) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(keys.iter().map(|_| None).collect()),
                Err(error) => return Err(error.into()),
            };
            keys.iter().map(|key| Ok(table.get(*key)?.and_then(|row| decode(row.value())))).collect()
        })
    }

    /// Applies changes, all or none. Returns the new checkpoints in the order of `updates`. Unless they are `durable`, a
    /// crash loses them, together with all changes since the last that were.
    pub(super) fn apply(&self, updates: &[Update<'_>], durable: bool) -> Result<Vec<Checkpoint>, StoreError> {
        guarded(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
            transaction.set_quick_repair(durable);
            let mut checkpoints = Vec::with_capacity(updates.len());
            for update in updates {
                checkpoints.push(apply(&transaction, update)?);
            }
            transaction.commit()?;
            Ok(checkpoints)
        })
    }

    /// Forgets everything about a partition.
    pub(super) fn discard(&self, topic: &str, number: i32) -> Result<(), StoreError> {
        guarded(|| {
            let transaction = self.database.begin_write()?;
            let names = Names::new(topic, number);
            transaction.delete_table(names.rows())?;
            transaction.delete_table(names.deletions())?;
            transaction.open_table(CHECKPOINTS)?.remove(names.rows.as_str())?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.apply(&[], true).map(|_| ())
    }
}

fn apply(transaction: &redb::WriteTransaction, update: &Update<'_>) -> Result<Checkpoint, redb::Error> {
    let names = Names::new(update.topic, update.number);
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    let before = checkpoints.get(names.rows.as_str())?.map(|found| Checkpoint::from(found.value()));
    let Checkpoint { mut live, mut deleted, .. } = before.unwrap_or_default();
    let mut rows = transaction.open_table(names.rows())?;
    let mut deletions = transaction.open_table(names.deletions())?;
    for (key, row) in &update.rows {
        match rows.insert(*key, encode(row).as_slice())?.and_then(|old| decode(old.value())) {
            Some(Row::Live(_)) => live = live.saturating_sub(1),
            Some(Row::Deleted(old)) => {
                deleted = deleted.saturating_sub(1);
                deletions.remove((old.recorded.as_millis(), *key))?;
            }
            None => {}
        }
        match row {
            Row::Live(_) => live += 1,
            Row::Deleted(deletion) => {
                deleted += 1;
                deletions.insert((deletion.recorded.as_millis(), *key), ())?;
            }
        }
    }
    let mut forgotten = Vec::new();
    for old in deletions.range(..(update.forget_before.as_millis(), b"".as_slice()))? {
        let (key, _) = old?;
        let (recorded, id) = key.value();
        forgotten.push((recorded, id.to_vec()));
    }
    for (recorded, id) in forgotten {
        deletions.remove((recorded, id.as_slice()))?;
        rows.remove(id.as_slice())?;
        deleted = deleted.saturating_sub(1);
    }
    let checkpoint = Checkpoint { live, deleted, ..update.checkpoint };
    checkpoints.insert(names.rows.as_str(), checkpoint.into_row())?;
    Ok(checkpoint)
}

/// The id in a file; makes one if there is none.
fn instance(path: &Path) -> io::Result<String> {
    let known = match fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !known.is_empty() {
        return Ok(known);
    }
    renew(path)
}

/// Gives a directory a new id, for an instance whose old id is in use elsewhere.
fn renew(path: &Path) -> io::Result<String> {
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    fs::write(path, &id)?;
    Ok(id)
}

impl Store {
    /// Takes a new id, because another instance has the same: the directory was copied.
    pub(super) fn renew_instance(&mut self, directory: &Path) -> Result<(), StoreError> {
        let path = directory.join(INSTANCE);
        self.instance = renew(&path).map_err(|error| StoreError::Io(path, error))?;
        Ok(())
    }
}

/// Runs something of redb's; a panic is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| StoreError::Broken(error.to_string())),
        Err(_) => Err(StoreError::Broken("its structure is damaged".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "idaas.user.state.v1";

    fn update<'a>(rows: &'a [(&'a [u8], Row)], input: i64, forget_before: i64) -> Update<'a> {
        Update {
            topic: TOPIC,
            number: 3,
            rows: rows.iter().map(|(key, row)| (*key, row)).collect(),
            checkpoint: Checkpoint { input, position: 2 * input, saved_at: 1, live: 0, deleted: 0 },
            forget_before: Time::from_millis(forget_before),
        }
    }

    fn deleted(recorded: i64) -> Row {
        Row::Deleted(Deletion { at: Time::from_millis(-5), recorded: Time::from_millis(recorded) })
    }

    #[test]
    fn rows_and_checkpoints_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let live = Row::Live(b"{}".to_vec());
        let rows: [(&[u8], Row); 2] = [(b"a", live.clone()), (b"b", deleted(7))];
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), None);
        let checkpoint = store.apply(&[update(&rows, 5, 0)], true).unwrap();
        assert_eq!(checkpoint, [Checkpoint { input: 5, position: 10, saved_at: 1, live: 1, deleted: 1 }]);
        let instance = store.instance().to_owned();
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.instance(), instance);
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), Some(checkpoint[0]));
        let found = store.rows(TOPIC, 3, &[b"a", b"b", b"c"]).unwrap();
        assert_eq!(found, [Some(live), Some(deleted(7)), None]);
        store.discard(TOPIC, 3).unwrap();
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), None);
        assert_eq!(store.rows(TOPIC, 3, &[b"a"]).unwrap(), [None]);
    }

    #[test]
    fn old_deletions_are_forgotten_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.apply(&[update(&[(b"a", deleted(7)), (b"b", deleted(8))], 1, 0)], false).unwrap();
        let again: [(&[u8], Row); 1] = [(b"b", deleted(20))];
        let checkpoint = store.apply(&[update(&again, 2, 9)], false).unwrap();
        assert_eq!((checkpoint[0].live, checkpoint[0].deleted), (0, 1));
        assert_eq!(store.rows(TOPIC, 3, &[b"a", b"b"]).unwrap(), [None, Some(deleted(20))]);
    }

    #[test]
    fn a_directory_belongs_to_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let _store = Store::open(directory.path()).unwrap();
        assert!(matches!(Store::open(directory.path()), Err(StoreError::Locked(_))));
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), b"not a store").unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), None);
    }
}
