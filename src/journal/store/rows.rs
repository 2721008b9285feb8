//! What is read from the open file: rows as they are, sealed. Changes nothing.

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::database::{JournalFile, StoreError, catch_panic};
use super::tables::{BODIES, INDEX, KEPT_BODIES, KEPT_INDEX, KeyCounts};

/// A row of an index and its body.
type SealedRow = (Vec<u8>, Vec<u8>);

impl JournalFile {
    /// Hands each row of the index to `each`, in order, from a place on, until it returns false.
    pub(super) fn rows(&self, from: u64, mut each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            for row in transaction.open_table(INDEX)?.range(from..)? {
                let (key, value) = row?;
                if !each(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Hands each row of the quarantine's index to `each`, in the order of their names, from a name on, until it returns
    /// false.
    pub(super) fn kept_rows(&self, from: u128, mut each: impl FnMut(u128, &[u8]) -> bool) -> Result<(), StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            for row in transaction.open_table(KEPT_INDEX)?.range(from..)? {
                let (key, value) = row?;
                if !each(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// For each of these names, whether it is in the quarantine.
    pub(super) fn has_kept(&self, ids: &[u128]) -> Result<Vec<bool>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(KEPT_INDEX)?;
            let mut known = Vec::with_capacity(ids.len());
            for id in ids {
                known.push(table.get(id)?.is_some());
            }
            Ok(known)
        })
    }

    /// A sealed row of the quarantine's index, and its body.
    pub(super) fn kept(&self, id: u128) -> Result<Option<SealedRow>, StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            let index = transaction.open_table(KEPT_INDEX)?.get(id)?.map(|row| row.value().to_vec());
            let body = transaction.open_table(KEPT_BODIES)?.get(id)?.map(|body| body.value().to_vec());
            Ok(index.zip(body))
        })
    }

    /// How many rows each key seals, by what is written on each row.
    pub(super) fn key_counts(&self) -> Result<KeyCounts, StoreError> {
        let mut keys = KeyCounts::default();
        self.rows(0, |_, row| {
            keys.add(row, 1);
            true
        })?;
        self.kept_rows(0, |_, row| {
            keys.add(row, 1);
            true
        })?;
        Ok(keys)
    }

    /// The sealed bodies of entries: none where an entry is not there.
    pub(super) fn bodies(&self, seqs: &[u64]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(BODIES)?;
            let mut bodies = Vec::with_capacity(seqs.len());
            for seq in seqs {
                bodies.push(table.get(seq)?.map(|body| body.value().to_vec()));
            }
            Ok(bodies)
        })
    }

    /// Up to `limit` sealed bodies from a place on.
    pub(super) fn bodies_from(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(BODIES)?;
            let mut bodies = Vec::new();
            for row in table.range(from..)?.take(limit) {
                let (key, value) = row?;
                bodies.push((key.value(), value.value().to_vec()));
            }
            Ok(bodies)
        })
    }

    /// The sealed body of something in quarantine.
    pub(super) fn kept_body(&self, id: u128) -> Result<Option<Vec<u8>>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(KEPT_BODIES)?;
            Ok(table.get(id)?.map(|body| body.value().to_vec()))
        })
    }

    /// How many rows the tables have: index, bodies, index of the quarantine, its bodies.
    pub(super) fn counts(&self) -> Result<[u64; 4], StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            Ok([
                transaction.open_table(INDEX)?.len()?,
                transaction.open_table(BODIES)?.len()?,
                transaction.open_table(KEPT_INDEX)?.len()?,
                transaction.open_table(KEPT_BODIES)?.len()?,
            ])
        })
    }
}
