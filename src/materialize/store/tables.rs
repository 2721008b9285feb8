//! The tables of the store.

use redb::{Database, Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::buffer::Pending;
use super::codec::{Encoded, Kind, kind};
use super::{CACHE, Checkpoint};

/// Maximum size of the pages that one transaction changes, in bytes. Changed pages can fill half of the cache.
pub(super) const MAX_TRANSACTION: usize = CACHE / 2 - (4 << 20);

/// The size of a page, in bytes.
pub(super) const PAGE: usize = 4096;

/// The stored form of a checkpoint: input, position, time, live and deleted entities.
type CheckpointRow = (i64, i64, i64, u64, u64);

/// The checkpoint of each partition, by the name of its table of rows.
pub(super) const CHECKPOINTS: TableDefinition<'static, &'static str, CheckpointRow> =
    TableDefinition::new("checkpoints");

/// The checkpoint of a partition before any record of its state topic is included.
const NOTHING_RESTORED: Checkpoint = Checkpoint { input: -1, position: 0, saved_at: 0, live: 0, deleted: 0 };

/// The names of the tables of one partition.
pub(super) struct Names {
    pub(super) rows: String,
    deletions: String,
}

impl Names {
    pub(super) fn new(topic: &str, number: i32) -> Self {
        Self { rows: format!("rows/{topic}/{number}"), deletions: format!("deletions/{topic}/{number}") }
    }

    /// The rows by the ids of their entities.
    pub(super) fn rows(&self) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
        TableDefinition::new(&self.rows)
    }

    /// The remembered deletions, in the order in which they expire.
    pub(super) fn deletions(&self) -> TableDefinition<'_, (i64, &'static [u8]), ()> {
        TableDefinition::new(&self.deletions)
    }
}

impl Checkpoint {
    pub(super) const fn into_row(self) -> CheckpointRow {
        (self.input, self.position, self.saved_at, self.live, self.deleted)
    }
}

impl From<CheckpointRow> for Checkpoint {
    fn from((input, position, saved_at, live, deleted): CheckpointRow) -> Self {
        Self { input, position, saved_at, live, deleted }
    }
}

/// Writes the changes of a partition in transactions whose pages fit into the cache. redb writes pages beyond that to
/// the file, and reads them again to compute their checksums.
pub(super) fn write(database: &Database, pending: &Pending) -> Result<(), redb::Error> {
    let mut rows = pending.rows.iter().peekable();
    loop {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < MAX_TRANSACTION
            && let Some((key, row)) = rows.next()
        {
            // At worst, each row is on a page of its own.
            bytes += PAGE + row.len();
            part.push((key, row));
        }
        let is_last = rows.peek().is_none();
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::None)?;
        write_part(&transaction, pending, &part, is_last)?;
        transaction.commit()?;
        if is_last {
            return Ok(());
        }
    }
}

/// Writes some changes of one partition. The checkpoint moves with the last ones. Until then only its counts change:
/// a restore that continues from it reads the records of the other rows again.
fn write_part(
    transaction: &WriteTransaction,
    pending: &Pending,
    changed: &[(&Vec<u8>, &Encoded)],
    is_last: bool,
) -> Result<(), redb::Error> {
    let Pending { names, checkpoint, forget_before, .. } = pending;
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    let before = checkpoints.get(names.rows.as_str())?.map(|found| Checkpoint::from(found.value()));
    let before = before.unwrap_or(NOTHING_RESTORED);
    let Checkpoint { mut live, mut deleted, .. } = before;
    let mut rows = transaction.open_table(names.rows())?;
    let mut deletions = transaction.open_table(names.deletions())?;
    for (key, Encoded(row)) in changed {
        let key = key.as_slice();
        match rows.insert(key, row.as_slice())?.and_then(|old| kind(old.value())) {
            Some(Kind::Live) => live = live.saturating_sub(1),
            Some(Kind::Deleted(old)) => {
                deleted = deleted.saturating_sub(1);
                deletions.remove((old.recorded.as_millis(), key))?;
            }
            None => {}
        }
        match kind(row) {
            Some(Kind::Live) => live += 1,
            Some(Kind::Deleted(deletion)) => {
                deleted += 1;
                deletions.insert((deletion.recorded.as_millis(), key), ())?;
            }
            None => {}
        }
    }
    let mut forgotten = Vec::new();
    let forget_before = if is_last { forget_before.as_millis() } else { i64::MIN };
    for old in deletions.range(..(forget_before, b"".as_slice()))? {
        let (key, _) = old?;
        let (recorded, id) = key.value();
        forgotten.push((recorded, id.to_vec()));
    }
    for (recorded, id) in forgotten {
        deletions.remove((recorded, id.as_slice()))?;
        rows.remove(id.as_slice())?;
        deleted = deleted.saturating_sub(1);
    }
    let reached = if is_last { *checkpoint } else { before };
    let checkpoint = Checkpoint { live, deleted, ..reached };
    checkpoints.insert(names.rows.as_str(), checkpoint.into_row())?;
    Ok(())
}
