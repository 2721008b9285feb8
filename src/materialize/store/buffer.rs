//! Changes that are not in the tables yet. They are written together and in the order of their keys, because
//! neighbouring rows are on the same page, and a page is written as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use idaas_state::Time;

use super::codec::Encoded;
use super::tables::Names;
use super::{Checkpoint, Update};

/// Memory that a row needs in addition to its key and value, in bytes.
const ROW_OVERHEAD: usize = 128;

/// Changes of one partition.
pub(super) struct Pending {
    pub(super) names: Names,
    pub(super) rows: BTreeMap<Vec<u8>, Encoded>,
    pub(super) checkpoint: Checkpoint,
    pub(super) forget_before: Time,
}

/// Changes by the name of the table of rows.
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) partitions: BTreeMap<String, Pending>,
    bytes: usize,
}

impl Buffer {
    fn add(&mut self, update: Update<'_>) {
        let Update { topic, number, rows, checkpoint, forget_before } = update;
        let names = Names::new(topic, number);
        let pending = self.partitions.entry(names.rows.clone()).or_insert_with(|| Pending {
            names,
            rows: BTreeMap::new(),
            checkpoint,
            forget_before,
        });
        pending.checkpoint = checkpoint;
        pending.forget_before = pending.forget_before.max(forget_before);
        for (key, row) in rows {
            self.bytes += key.len() + row.len() + ROW_OVERHEAD;
            // A replaced row still counts. That only makes the next write a little earlier.
            pending.rows.insert(key, row);
        }
    }
}

/// The changes that gather, and those that are being written.
#[derive(Default)]
pub(super) struct Buffers {
    gathering: Buffer,
    writing: Option<Arc<Buffer>>,
}

impl Buffers {
    /// Adds changes. Returns the size of the gathered changes, in bytes.
    pub(super) fn add(&mut self, updates: Vec<Update<'_>>) -> usize {
        updates.into_iter().for_each(|update| self.gathering.add(update));
        self.gathering.bytes
    }

    /// Returns the gathered changes to write. Returns `None` if there are none.
    pub(super) fn start_writing(&mut self) -> Option<Arc<Buffer>> {
        let gathered = std::mem::take(&mut self.gathering);
        self.writing = (!gathered.partitions.is_empty()).then(|| Arc::new(gathered));
        self.writing.clone()
    }

    /// Drops the changes that are in the tables now.
    pub(super) fn written(&mut self) {
        self.writing = None;
    }

    /// Drops the gathered changes of a partition.
    pub(super) fn discard(&mut self, names: &Names) {
        self.gathering.partitions.remove(&names.rows);
    }

    /// Returns the checkpoint of a partition. Returns `None` if only the tables have it.
    pub(super) fn checkpoint(&self, names: &Names) -> Option<Checkpoint> {
        self.pending(names).next().map(|pending| pending.checkpoint)
    }

    /// Returns a row. Returns `None` if only the tables have it.
    pub(super) fn row(&self, names: &Names, key: &[u8]) -> Option<&Encoded> {
        self.pending(names).find_map(|pending| pending.rows.get(key))
    }

    /// Returns the changes of a partition, the newest first.
    fn pending(&self, names: &Names) -> impl Iterator<Item = &Pending> {
        let buffers = std::iter::once(&self.gathering).chain(self.writing.as_deref());
        buffers.filter_map(|buffer| buffer.partitions.get(&names.rows))
    }
}
