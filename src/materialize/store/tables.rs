//! The tables of the store, and the form of their rows.

use idaas_state::{Deletion, Time};
use redb::TableDefinition;

use super::{Checkpoint, Row};

/// A checkpoint as it is stored: input, position, time, live and deleted entities.
type CheckpointRow = (i64, i64, i64, u64, u64);

/// The checkpoint of each partition, by the name of its table of rows.
pub(super) const CHECKPOINTS: TableDefinition<'static, &'static str, CheckpointRow> =
    TableDefinition::new("checkpoints");

const LIVE: u8 = 0;
const DELETED: u8 = 1;

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

pub(super) fn encode(row: &Row) -> Vec<u8> {
    match row {
        Row::Live(value) => [&[LIVE], value.as_slice()].concat(),
        Row::Deleted(Deletion { at, recorded }) => {
            [&[DELETED], at.as_millis().to_be_bytes().as_slice(), &recorded.as_millis().to_be_bytes()].concat()
        }
    }
}

/// A stored row; `None` if it makes no sense.
pub(super) fn decode(bytes: &[u8]) -> Option<Row> {
    let time = |bytes: &[u8; 8]| Time::from_millis(i64::from_be_bytes(*bytes));
    match bytes.split_first()? {
        (&LIVE, value) => Some(Row::Live(value.to_vec())),
        (&DELETED, times) => {
            let (at, recorded) = times.split_first_chunk::<8>()?;
            let (recorded, _) = recorded.split_first_chunk::<8>()?;
            Some(Row::Deleted(Deletion { at: time(at), recorded: time(recorded) }))
        }
        _ => None,
    }
}
