//! Reads rows from the open file in sealed form. Changes nothing.

use redb::{ReadableDatabase, ReadableTableMetadata};

use super::database::{JournalFile, StoreError, catch_panic};
use super::tables::{BODIES, INDEX, KeyCounts, QUARANTINE_BODIES, QUARANTINE_INDEX};

/// Number of bytes after which a page of bodies ends. A body can have megabytes.
const PAGE_BYTES: usize = 4 << 20;

/// A sealed index row and its sealed body.
type SealedRow = (Vec<u8>, Vec<u8>);

impl JournalFile {
    /// Calls `each` with every index row starting at `from`, in order, until it returns false.
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

    /// Calls `each` with every index row of the quarantine starting at `from`, ordered by id, until it returns false.
    pub(super) fn quarantine_rows(
        &self,
        from: u128,
        mut each: impl FnMut(u128, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            for row in transaction.open_table(QUARANTINE_INDEX)?.range(from..)? {
                let (key, value) = row?;
                if !each(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Returns for each id whether it is in quarantine.
    pub(super) fn has_quarantined(&self, ids: &[u128]) -> Result<Vec<bool>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(QUARANTINE_INDEX)?;
            let mut known = Vec::with_capacity(ids.len());
            for id in ids {
                known.push(table.get(id)?.is_some());
            }
            Ok(known)
        })
    }

    /// Returns a sealed index row of the quarantine and its body.
    pub(super) fn quarantined(&self, id: u128) -> Result<Option<SealedRow>, StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            let index = transaction.open_table(QUARANTINE_INDEX)?.get(id)?.map(|row| row.value().to_vec());
            let body = transaction.open_table(QUARANTINE_BODIES)?.get(id)?.map(|body| body.value().to_vec());
            Ok(index.zip(body))
        })
    }

    /// Returns the number of rows per key. Each row names its key.
    pub(super) fn key_counts(&self) -> Result<KeyCounts, StoreError> {
        let mut keys = KeyCounts::default();
        self.rows(0, |_, row| {
            keys.add(row, 1);
            true
        })?;
        self.quarantine_rows(0, |_, row| {
            keys.add(row, 1);
            true
        })?;
        Ok(keys)
    }

    /// Returns the sealed bodies of entries. A body is `None` if the entry does not exist.
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

    /// Returns up to `limit` sealed bodies starting at `from`, and no more once they have [`PAGE_BYTES`].
    pub(super) fn bodies_from(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(BODIES)?;
            let (mut bodies, mut bytes) = (Vec::new(), 0);
            for row in table.range(from..)?.take(limit) {
                let (key, value) = row?;
                bytes += value.value().len();
                bodies.push((key.value(), value.value().to_vec()));
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(bodies)
        })
    }

    /// Returns the sealed body of a quarantined callback.
    pub(super) fn quarantined_body(&self, id: u128) -> Result<Option<Vec<u8>>, StoreError> {
        catch_panic(|| {
            let table = self.database.begin_read()?.open_table(QUARANTINE_BODIES)?;
            Ok(table.get(id)?.map(|body| body.value().to_vec()))
        })
    }

    /// Returns the number of rows of each table: index, bodies, quarantine index, quarantine bodies.
    pub(super) fn counts(&self) -> Result<[u64; 4], StoreError> {
        catch_panic(|| {
            let transaction = self.database.begin_read()?;
            Ok([
                transaction.open_table(INDEX)?.len()?,
                transaction.open_table(BODIES)?.len()?,
                transaction.open_table(QUARANTINE_INDEX)?.len()?,
                transaction.open_table(QUARANTINE_BODIES)?.len()?,
            ])
        })
    }
}
