//! The working state on disk (redb): for each partition, the states of its entities and a checkpoint.
//!
//! It is a cache of the state topics. A file that cannot be read is replaced by an empty one, and missing states are
//! restored from the topics. The use of memory does not depend on the number of entities.

mod buffer;
mod codec;
mod instance;
mod tables;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use idaas_state::{Deletion, Time};
use parking_lot::Mutex;
use redb::{Builder, Database, ReadableDatabase};

pub(super) use self::codec::{Encoded, Encoder};

use self::buffer::Buffers;
use self::codec::decode;
use self::instance::{instance, renew};
use self::tables::{CHECKPOINTS, Names, write};

use crate::telemetry::log_code::LogCode;

/// The file. Its name has the version of the layout.
const FILE: &str = "state-v2.redb";

/// The file of an earlier version. Its state is restored from the topics.
const OLD_FILE: &str = "state-v1.redb";

/// Locked by the process that uses the directory.
const LOCK: &str = "state.lock";

/// Holds the id of this instance.
const INSTANCE: &str = "state.instance";

/// Size of redb's cache, in bytes.
const CACHE: usize = 32 << 20;

/// Interval at which written changes are made durable. After a crash, the records since then are read again.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// A row: an entity that exists, or a remembered deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// The value of its state record.
    Live(Vec<u8>),
    /// The deletion.
    Deleted(Deletion),
}

/// The position of the working state of a partition in its topics, and its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The offset of the first event that is not included.
    pub(super) input: i64,
    /// The offset of the first state record that is not included.
    pub(super) position: i64,
    /// When it was written, in milliseconds since 1970.
    pub(super) saved_at: i64,
    /// Number of entities that exist.
    pub(super) live: u64,
    /// Number of remembered deletions.
    pub(super) deleted: u64,
}

/// Changes of one partition.
pub(super) struct Update<'a> {
    /// The state topic.
    pub(super) topic: &'a str,
    /// The partition.
    pub(super) number: i32,
    /// Keys and new rows. The last row of a key counts.
    pub(super) rows: Vec<(Vec<u8>, Encoded)>,
    /// The new checkpoint. Its counts are computed when it is written.
    pub(super) checkpoint: Checkpoint,
    /// Deletions that were recorded before this are forgotten.
    pub(super) forget_before: Time,
}

/// The reason why the store cannot be used.
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

/// The durability of the written changes.
struct Written {
    durable_at: Instant,
    is_durable: bool,
}

/// The open store.
pub(super) struct Store {
    database: Database,
    buffers: Mutex<Buffers>,
    /// Locked while the tables are written.
    written: Mutex<Written>,
    directory: PathBuf,
    instance: Mutex<String>,
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
        // A file that stays takes up space, nothing else.
        let _ = fs::remove_file(directory.join(OLD_FILE));
        let path = directory.join(FILE);
        let open = || catch_panic(|| Ok(Builder::new().set_cache_size(CACHE).create(&path)?));
        let database = open().or_else(|error| {
            tracing::warn!(
                code = LogCode::StateStoreDiscarded.as_str(), %error,
                "the working state is restored from the topics"
            );
            fs::remove_file(&path).map_err(io(&path))?;
            open()
        })?;
        let written = Mutex::new(Written { durable_at: Instant::now(), is_durable: true });
        let (directory, instance) = (directory.to_owned(), Mutex::new(instance));
        Ok(Self { database, buffers: Mutex::default(), written, directory, instance, _lock: lock })
    }

    /// The id of the instance that uses this directory.
    pub(super) fn instance(&self) -> String {
        self.instance.lock().clone()
    }

    /// Returns the checkpoint of a partition. Returns `None` if there is none.
    pub(super) fn checkpoint(&self, topic: &str, number: i32) -> Result<Option<Checkpoint>, StoreError> {
        let names = Names::new(topic, number);
        let gathered = self.buffers.lock().checkpoint(&names);
        if gathered.is_some() {
            return Ok(gathered);
        }
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(CHECKPOINTS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let found = table.get(names.rows.as_str())?;
            Ok(found.map(|found| Checkpoint::from(found.value())))
        })
    }

    /// Returns the rows of some entities of a partition, in the order of their keys.
    pub(super) fn rows(&self, topic: &str, number: i32, keys: &[&[u8]]) -> Result<Vec<Option<Row>>, StoreError> {
        let names = Names::new(topic, number);
        // Changes move from the buffers to the tables. So the buffers are read first, and no change is missed.
        let gathered: Vec<_> = {
            let buffers = self.buffers.lock();
            keys.iter().map(|key| buffers.row(&names, key).map(|Encoded(row)| decode(row))).collect()
        };
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(names.rows()) {
                Ok(table) => Some(table),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            };
            let row = |(key, gathered): (&&[u8], Option<Option<Row>>)| match (gathered, &table) {
                (Some(row), _) => Ok(row),
                (None, None) => Ok(None),
                (None, Some(table)) => Ok(table.get(*key)?.and_then(|row| decode(row.value()))),
            };
            keys.iter().zip(gathered).map(row).collect()
        })
    }

    /// Applies changes. Returns the size of the gathered changes that are not written yet, in bytes.
    pub(super) fn apply(&self, updates: Vec<Update<'_>>) -> usize {
        self.buffers.lock().add(updates)
    }

    /// Writes the changes that have gathered. Until they are also made durable, a crash loses them, together with all
    /// changes that were written since the last time.
    pub(super) fn write(&self) -> Result<(), StoreError> {
        let mut written = self.written.lock();
        let is_due = written.durable_at.elapsed() >= SYNC_INTERVAL;
        self.write_gathered(&mut written, is_due)
    }

    /// Writes the changes that have gathered, and makes everything durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.write_gathered(&mut self.written.lock(), true)
    }

    fn write_gathered(&self, written: &mut Written, durable: bool) -> Result<(), StoreError> {
        let gathered = self.buffers.lock().start_writing();
        if gathered.is_none() && (written.is_durable || !durable) {
            return Ok(());
        }
        catch_panic(|| {
            for pending in gathered.iter().flat_map(|gathered| gathered.partitions.values()) {
                write(&self.database, pending)?;
            }
            if durable {
                let mut transaction = self.database.begin_write()?;
                transaction.set_quick_repair(true);
                transaction.commit()?;
            }
            Ok(())
        })?;
        self.buffers.lock().written();
        written.is_durable = durable;
        if durable {
            written.durable_at = Instant::now();
        }
        Ok(())
    }

    /// Deletes everything about a partition.
    pub(super) fn discard(&self, topic: &str, number: i32) -> Result<(), StoreError> {
        let _not_written_meanwhile = self.written.lock();
        let names = Names::new(topic, number);
        self.buffers.lock().discard(&names);
        catch_panic(|| {
            let transaction = self.database.begin_write()?;
            transaction.delete_table(names.rows())?;
            transaction.delete_table(names.deletions())?;
            transaction.open_table(CHECKPOINTS)?.remove(names.rows.as_str())?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Takes a new id, because another instance has the same: the directory was copied.
    pub(super) fn renew_instance(&self) -> Result<(), StoreError> {
        let path = self.directory.join(INSTANCE);
        *self.instance.lock() = renew(&path).map_err(|error| StoreError::Io(path, error))?;
        Ok(())
    }
}

/// Calls redb, and turns a panic into an error.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| StoreError::Broken(error.to_string())),
        Err(_) => Err(StoreError::Broken("its structure is damaged".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::tables::{MAX_TRANSACTION, PAGE};
    use super::*;

    const TOPIC: &str = "idaas.user.state.v1";

    fn apply(store: &Store, rows: &[(&[u8], Row)], input: i64, forget_before: i64) {
        let mut encoder = Encoder::default();
        store.apply(vec![Update {
            topic: TOPIC,
            number: 3,
            rows: rows.iter().map(|(key, row)| (key.to_vec(), encoder.row(row))).collect(),
            checkpoint: Checkpoint { input, position: 2 * input, saved_at: 1, live: 0, deleted: 0 },
            forget_before: Time::from_millis(forget_before),
        }]);
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
        apply(&store, &rows, 5, 0);
        store.sync().unwrap();
        let checkpoint = Checkpoint { input: 5, position: 10, saved_at: 1, live: 1, deleted: 1 };
        let instance = store.instance();
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.instance(), instance);
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), Some(checkpoint));
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
        apply(&store, &[(b"a", deleted(7)), (b"b", deleted(8))], 1, 0);
        store.write().unwrap();
        apply(&store, &[(b"b", deleted(20))], 2, 9);
        store.write().unwrap();
        let checkpoint = store.checkpoint(TOPIC, 3).unwrap().unwrap();
        assert_eq!((checkpoint.live, checkpoint.deleted), (0, 1));
        assert_eq!(store.rows(TOPIC, 3, &[b"a", b"b"]).unwrap(), [None, Some(deleted(20))]);
    }

    #[test]
    fn the_last_row_of_a_key_counts() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let live = |text: &str| Row::Live(text.as_bytes().to_vec());
        let rows: [(&[u8], Row); 4] = [(b"b", live("1")), (b"a", live("2")), (b"b", live("3")), (b"c", deleted(1))];
        apply(&store, &rows, 1, 0);
        let expected = [Some(live("2")), Some(live("3"))];
        assert_eq!(store.rows(TOPIC, 3, &[b"a", b"b"]).unwrap(), expected);
        store.write().unwrap();
        assert_eq!(store.rows(TOPIC, 3, &[b"a", b"b"]).unwrap(), expected);
        let checkpoint = store.checkpoint(TOPIC, 3).unwrap().unwrap();
        assert_eq!((checkpoint.live, checkpoint.deleted), (2, 1));
    }

    #[test]
    fn a_large_write_takes_several_transactions() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let keys: Vec<_> = (0..10_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        assert!(keys.len() * PAGE > 2 * MAX_TRANSACTION);
        let row = Row::Live(b"{}".to_vec());
        let mut rows: Vec<(&[u8], Row)> = keys.iter().map(|key| (key.as_slice(), row.clone())).collect();
        rows.push((b"deleted", deleted(7)));
        apply(&store, &rows, 5, 0);
        store.sync().unwrap();
        apply(&store, &rows, 6, 8);
        store.sync().unwrap();
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        let checkpoint = Checkpoint { input: 6, position: 12, saved_at: 1, live: 10_000, deleted: 0 };
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), Some(checkpoint));
        let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        let found = store.rows(TOPIC, 3, &keys).unwrap();
        assert_eq!(found.iter().flatten().count(), 10_000);
    }

    #[test]
    fn unwritten_rows_are_lost_with_their_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let live = Row::Live(b"{}".to_vec());
        apply(&store, &[(b"a", live.clone())], 1, 0);
        store.sync().unwrap();
        apply(&store, &[(b"b", live.clone())], 2, 0);
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap().unwrap().input, 2);
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap().unwrap().input, 1);
        assert_eq!(store.rows(TOPIC, 3, &[b"a", b"b"]).unwrap(), [Some(live), None]);
    }

    #[test]
    fn discarding_also_drops_unwritten_rows() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        apply(&store, &[(b"a", Row::Live(b"{}".to_vec()))], 1, 0);
        store.discard(TOPIC, 3).unwrap();
        store.write().unwrap();
        assert_eq!(store.checkpoint(TOPIC, 3).unwrap(), None);
        assert_eq!(store.rows(TOPIC, 3, &[b"a"]).unwrap(), [None]);
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
