//! The tables of the store.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::Checkpoint;
use super::buffer::Pending;
use super::codec::{Encoded, Kind, kind};

/// A checkpoint as it is stored: input, position, time, live and deleted entities.
type CheckpointRow = (i64, i64, i64, u64, u64);

/// The checkpoint of each partition, by the name of its table of rows.
pub(super) const CHECKPOINTS: TableDefinition<'static, &'static str, CheckpointRow> =
    TableDefinition::new("checkpoints");

/// The names of the tables of one partition.
pub(super) struct Names {
    pub(super) rows: String,
    deletions: String,
}

impl Names {
    pub(super) fn new(topic: &str, number: i32) -> Self {
        Self { rows: format!("rows/{topic}/{number}"), deletions: format!("deletions/{topic}/{number}") }
    }

    /// What is known of each entity, by its id.
    pub(super) fn rows(&self) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
        TableDefinition::new(&self.rows)
    }

    /// The remembered deletions in the order in which they are forgotten.
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

/// Writes changes of one partition.
pub(super) fn write(transaction: &WriteTransaction, pending: &Pending) -> Result<(), redb::Error> {
    let Pending { names, rows: changed, checkpoint, forget_before } = pending;
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    let before = checkpoints.get(names.rows.as_str())?.map(|found| Checkpoint::from(found.value()));
    let Checkpoint { mut live, mut deleted, .. } = before.unwrap_or_default();
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
    for old in deletions.range(..(forget_before.as_millis(), b"".as_slice()))? {
        let (key, _) = old?;
        let (recorded, id) = key.value();
        forgotten.push((recorded, id.to_vec()));
    }
    for (recorded, id) in forgotten {
        deletions.remove((recorded, id.as_slice()))?;
        rows.remove(id.as_slice())?;
        deleted = deleted.saturating_sub(1);
    }
    let checkpoint = Checkpoint { live, deleted, ..*checkpoint };
    checkpoints.insert(names.rows.as_str(), checkpoint.into_row())?;
    Ok(())
}
