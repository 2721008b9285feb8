//! The tables of the file, their rows, and the space that a row needs.

use std::ops::Bound;

use idaas_callback::jose::seal::KeyId;
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

pub(super) const INDEX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("index");
pub(super) const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
pub(super) const QUARANTINE_INDEX: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("quarantine_index");
pub(super) const QUARANTINE_BODIES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("quarantine_bodies");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const STATE: &str = "state";

/// Size of a page of the file, in bytes.
const PAGE: usize = 4096;

/// Space for rows in a page, and overhead per row, in bytes.
const PAGE_CAPACITY: usize = PAGE - 16;
const ROW: usize = 24;

/// Counts and sizes of the stored data. Written with every commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Number of commits so far. Reveals a lost commit.
    pub(super) commits: u64,
    /// Sequence number of the next entry.
    pub(super) next: u64,
    pub(super) entries: u64,
    /// Size of entries and quarantine in the file, in bytes.
    pub(super) bytes: u64,
    pub(super) quarantined: u64,
    /// Size of the quarantine, in bytes. Included in `bytes`.
    pub(super) quarantine_bytes: u64,
}

/// A sealed index row and its sealed body.
pub(super) struct Put<K> {
    pub(super) key: K,
    pub(super) index: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl<K> Put<K> {
    fn index(&self) -> &[u8] {
        &self.index
    }

    fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the space that it needs in the file, in bytes.
    pub(super) fn cost(&self) -> u64 {
        cost(self.index.len()) + cost(self.body.len())
    }
}

/// The changes of one transaction.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) puts: Vec<Put<u64>>,
    pub(super) deletes: Vec<u64>,
    pub(super) quarantines: Vec<Put<u128>>,
    pub(super) releases: Vec<u128>,
}

impl Changes {
    /// Returns true if there are no changes.
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty() && self.quarantines.is_empty() && self.releases.is_empty()
    }
}

/// Number of index rows per key. An index row and its body are sealed with the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyCounts(Vec<(KeyId, i64)>);

impl KeyCounts {
    /// Adds `by` to the count of the key that this row is sealed with.
    pub(super) fn add(&mut self, row: &[u8], by: i64) {
        if let Some(key) = KeyId::of_sealed(row) {
            self.count(key, by);
        }
    }

    /// Applies the changes that a transaction made.
    pub(super) fn apply(&mut self, changes: &Self) {
        changes.0.iter().for_each(|(key, by)| self.count(*key, *by));
        self.0.retain(|(_, count)| *count > 0);
    }

    /// Returns the keys in use except `current`, each with its number of rows.
    pub(super) fn others(&self, current: KeyId) -> impl Iterator<Item = (KeyId, u64)> {
        self.0.iter().filter(move |(key, _)| *key != current).map(|(key, count)| (*key, count.unsigned_abs()))
    }

    fn count(&mut self, key: KeyId, by: i64) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += by,
            None => self.0.push((key, by)),
        }
    }
}

/// Counts that a transaction updates while it changes rows.
#[derive(Default)]
pub(super) struct TableCounts {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) keys: KeyCounts,
}

/// An index table and the table with its bodies.
pub(super) struct IndexedTable<'t, K: redb::Key + 'static> {
    pub(super) index: redb::Table<'t, K, &'static [u8]>,
    pub(super) bodies: redb::Table<'t, K, &'static [u8]>,
}

impl<K: redb::Key + Copy + for<'k> redb::Value<SelfType<'k> = K> + 'static> IndexedTable<'_, K> {
    /// Inserts or replaces a row and its body, and updates the counts.
    pub(super) fn put(&mut self, put: &Put<K>, counts: &mut TableCounts) -> Result<(), redb::Error> {
        let mut replaced = 0;
        match self.index.insert(put.key, put.index.as_slice())? {
            Some(old) => {
                counts.keys.add(old.value(), -1);
                replaced += cost(old.value().len());
            }
            None => counts.count += 1,
        }
        replaced += self.bodies.insert(put.key, put.body.as_slice())?.map_or(0, |old| cost(old.value().len()));
        counts.keys.add(&put.index, 1);
        counts.bytes = (counts.bytes + put.cost()).saturating_sub(replaced);
        Ok(())
    }

    /// Deletes a row and its body, and counts the change.
    pub(super) fn delete(&mut self, key: K, counts: &mut TableCounts) -> Result<(), redb::Error> {
        let mut deleted = 0;
        if let Some(old) = self.index.remove(key)? {
            counts.keys.add(old.value(), -1);
            counts.count = counts.count.saturating_sub(1);
            deleted += cost(old.value().len());
        }
        deleted += self.bodies.remove(key)?.map_or(0, |old| cost(old.value().len()));
        counts.bytes = counts.bytes.saturating_sub(deleted);
        Ok(())
    }
}

/// Returns the space of a value in the file, in bytes: a share of a page, or a power of two of whole pages.
fn cost(value: usize) -> u64 {
    let row = value + ROW;
    let share = match PAGE_CAPACITY / row {
        0 | 1 => row.div_ceil(PAGE).next_power_of_two() * PAGE,
        rows => PAGE / rows,
    };
    share as u64
}

impl IndexedTable<'_, u64> {
    /// Inserts rows. New rows in ascending order behind all existing ones are appended with a cursor, which saves a
    /// search from the root for each.
    pub(super) fn put_all(&mut self, puts: &[Put<u64>], counts: &mut TableCounts) -> Result<(), redb::Error> {
        let last = self.index.last()?.map(|(key, _)| key.value());
        let new = puts.first().is_some_and(|first| last.is_none_or(|last| last < first.key));
        if !new || !puts.is_sorted_by(|one, next| one.key < next.key) {
            return puts.iter().try_for_each(|put| self.put(put, counts));
        }
        for (table, sealed) in [(&mut self.index, Put::index as fn(&Put<u64>) -> &[u8]), (&mut self.bodies, Put::body)]
        {
            let mut end = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
            for put in puts {
                end.insert_before(put.key, sealed(put))?;
            }
            end.close()?;
        }
        counts.count += puts.len() as u64;
        for put in puts {
            counts.bytes += put.cost();
            counts.keys.add(&put.index, 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_costs_its_share_of_a_page_or_pages_of_its_own() {
        assert_eq!(cost(100), 4096 / 32);
        assert_eq!(cost(3000), 4096);
        assert_eq!(cost(4096), 8192);
        assert_eq!(cost(9000), 16384);
    }
}
