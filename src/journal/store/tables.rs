//! What the file holds: its tables, their rows, and what a row takes.

use std::ops::Bound;

use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

pub(super) const INDEX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("index");
pub(super) const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
pub(super) const KEPT_INDEX: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("quarantine_index");
pub(super) const KEPT_BODIES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("quarantine_bodies");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const STATE: &str = "state";

/// A page of the file, in bytes.
const PAGE: usize = 4096;

/// What of a page is there for rows, and what a row takes beyond its value.
const PAGE_ROOM: usize = PAGE - 16;
const ROW: usize = 24;

/// What the disk holds, by number. Written with every commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// How many commits there were: tells whether one is missing.
    pub(super) commits: u64,
    /// The place of the next entry.
    pub(super) next: u64,
    pub(super) entries: u64,
    /// What entries and quarantine take in the file.
    pub(super) bytes: u64,
    pub(super) kept: u64,
    /// What the quarantine takes of it.
    pub(super) kept_bytes: u64,
}

/// A row and its body, sealed.
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

    /// What it takes in the file, in bytes.
    pub(super) fn cost(&self) -> u64 {
        cost(self.index.len()) + cost(self.body.len())
    }
}

/// What one transaction changes.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) puts: Vec<Put<u64>>,
    pub(super) removes: Vec<u64>,
    pub(super) keeps: Vec<Put<u128>>,
    pub(super) releases: Vec<u128>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty() && self.keeps.is_empty() && self.releases.is_empty()
    }
}

/// An index and the bodies that belong to it.
pub(super) struct Pair<'t, K: redb::Key + 'static> {
    pub(super) index: redb::Table<'t, K, &'static [u8]>,
    pub(super) bodies: redb::Table<'t, K, &'static [u8]>,
}

impl<K: redb::Key + Copy + for<'k> redb::Value<SelfType<'k> = K> + 'static> Pair<'_, K> {
    /// Puts a row and its body in, and counts what that changes.
    pub(super) fn put(&mut self, put: &Put<K>, count: &mut u64, bytes: &mut u64) -> Result<(), redb::Error> {
        let before = self.index.insert(put.key, put.index.as_slice())?.map(|old| cost(old.value().len()));
        let body = self.bodies.insert(put.key, put.body.as_slice())?.map(|old| cost(old.value().len()));
        *count += u64::from(before.is_none());
        *bytes = (*bytes + put.cost()).saturating_sub(before.unwrap_or_default() + body.unwrap_or_default());
        Ok(())
    }

    /// Takes a row and its body out, and counts what that changes.
    pub(super) fn remove(&mut self, key: K, count: &mut u64, bytes: &mut u64) -> Result<(), redb::Error> {
        let index = self.index.remove(key)?.map(|old| cost(old.value().len()));
        let body = self.bodies.remove(key)?.map(|old| cost(old.value().len()));
        *count = count.saturating_sub(u64::from(index.is_some()));
        *bytes = bytes.saturating_sub(index.unwrap_or_default() + body.unwrap_or_default());
        Ok(())
    }
}

/// What a value takes in the file, in bytes: its share of a page, or pages of its own, whose number is a power of two.
fn cost(value: usize) -> u64 {
    let row = value + ROW;
    let share = match PAGE_ROOM / row {
        0 | 1 => row.div_ceil(PAGE).next_power_of_two() * PAGE,
        rows => PAGE / rows,
    };
    share as u64
}

impl Pair<'_, u64> {
    /// Puts rows in. New ones come in order behind all that are there, and then the way to each is that to the one before.
    pub(super) fn put_all(&mut self, puts: &[Put<u64>], count: &mut u64, bytes: &mut u64) -> Result<(), redb::Error> {
        let last = self.index.last()?.map(|(key, _)| key.value());
        let new = puts.first().is_some_and(|first| last.is_none_or(|last| last < first.key));
        if !new || !puts.is_sorted_by(|one, next| one.key < next.key) {
            return puts.iter().try_for_each(|put| self.put(put, count, bytes));
        }
        for (table, sealed) in [(&mut self.index, Put::index as fn(&Put<u64>) -> &[u8]), (&mut self.bodies, Put::body)]
        {
            let mut end = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
            for put in puts {
                end.insert_before(put.key, sealed(put))?;
            }
            end.close()?;
        }
        *count += puts.len() as u64;
        *bytes += puts.iter().map(Put::cost).sum::<u64>();
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
