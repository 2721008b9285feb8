//! Rekeying: seals data of old keys again with the first key, in small steps, so that the old keys can be removed from
//! the configuration.

use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::jose::seal::KeyId;

use super::Store;
use super::codec::{SealedCodec, Table};
use super::tables::{Changes, Put};
use crate::telemetry::journal::JournalRejection;

/// Limits of one step: rows sealed again, their size in bytes, and rows inspected.
const STEP_ROWS: usize = 256;
const STEP_BYTES: u64 = 4 << 20;
const STEP_INSPECTED: usize = 20_000;

/// Where the next step starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RekeyPosition {
    /// This entry.
    Entries(u64),
    /// This quarantined callback. All entries have been checked.
    Quarantine(u128),
}

/// Result of replacing the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// The first key seals from now on, and all keys open.
    Applied,
    /// Nothing has changed: the key with this id is missing, and this many entries and callbacks need it.
    StillNeeded(String, u64),
    /// Nothing has changed: there are no keys.
    NoKeys,
}

impl Store {
    /// Seals with the first of these keys from now on, and opens with all of them. Changes nothing if the keys do not
    /// open all stored data.
    pub fn replace_keys(&mut self, keys: &[Arc<ContentKey>]) -> KeyChange {
        let Some(codec) = SealedCodec::new(keys) else { return KeyChange::NoKeys };
        let missing = self.keys.others(codec.current()).find(|(id, _)| !codec.opens(*id));
        if let Some((id, count)) = missing {
            return KeyChange::StillNeeded(id.to_string(), count);
        }
        self.codec = codec;
        self.reseal = Some(RekeyPosition::Entries(0));
        KeyChange::Applied
    }

    /// Returns the key that seals.
    #[must_use]
    pub fn sealing_key(&self) -> Arc<ContentKey> {
        self.codec.key()
    }

    /// Returns the ids of the old keys in use, with the number of entries and callbacks sealed with each.
    #[must_use]
    pub fn old_keys(&self) -> Vec<(String, u64)> {
        self.keys.others(self.codec.current()).map(|(id, count)| (id.to_string(), count)).collect()
    }

    /// Returns true if [`Store::reseal`] has work to do.
    #[must_use]
    pub fn has_old_keys(&self) -> bool {
        self.reseal.is_some() && self.file.is_some() && self.keys.others(self.codec.current()).next().is_some()
    }

    /// Seals some data of old keys again with the first key. Data that cannot be opened is not changed.
    ///
    /// # Errors
    /// Returns a [`JournalRejection`] if the store cannot be read or written now. Nothing has changed then.
    pub fn reseal(&mut self) -> Result<(), JournalRejection> {
        let Some(position) = self.reseal else { return Ok(()) };
        let current = self.codec.current();
        let (changes, next) = match position {
            RekeyPosition::Entries(from) => self.old_entries(from, current)?,
            RekeyPosition::Quarantine(from) => self.old_quarantine(from, current)?,
        };
        if !changes.is_empty() {
            let bytes = changes.puts.iter().map(Put::cost).chain(changes.quarantines.iter().map(Put::cost)).sum();
            self.space_for(bytes)?;
            // Nothing is possibly written here: the entries must stay, whether the commit has succeeded or not.
            self.apply(&changes, std::iter::empty())?;
        }
        self.reseal = next;
        Ok(())
    }

    fn old_entries(&mut self, from: u64, current: KeyId) -> Result<(Changes, Option<RekeyPosition>), JournalRejection> {
        let (mut rows, mut inspected, mut next) = (Vec::new(), 0, Some(RekeyPosition::Quarantine(0)));
        self.reading(|file| {
            file.rows(from, |seq, row| {
                if inspected >= STEP_INSPECTED || rows.len() >= STEP_ROWS {
                    next = Some(RekeyPosition::Entries(seq));
                    return false;
                }
                inspected += 1;
                if is_old(row, current) {
                    rows.push((seq, row.to_vec()));
                }
                true
            })
        })?;
        let (mut changes, mut bytes) = (Changes::default(), 0);
        for (seq, row) in rows {
            if bytes >= STEP_BYTES {
                next = Some(RekeyPosition::Entries(seq));
                break;
            }
            let Some(body) = self.reading(|file| file.bodies(&[seq]))?.pop().flatten() else { continue };
            let index = self.codec.reseal(Table::Index, seq.into(), &row);
            let body = self.codec.reseal(Table::Bodies, seq.into(), &body);
            if let (Some(index), Some(body)) = (index, body) {
                let put = Put { key: seq, index, body };
                bytes += put.cost();
                changes.puts.push(put);
            }
        }
        Ok((changes, next))
    }

    fn old_quarantine(
        &mut self,
        from: u128,
        current: KeyId,
    ) -> Result<(Changes, Option<RekeyPosition>), JournalRejection> {
        let (mut ids, mut inspected, mut next) = (Vec::new(), 0, None);
        self.reading(|file| {
            file.quarantine_rows(from, |id, row| {
                if inspected >= STEP_INSPECTED || ids.len() >= STEP_ROWS {
                    next = Some(RekeyPosition::Quarantine(id));
                    return false;
                }
                inspected += 1;
                if is_old(row, current) {
                    ids.push(id);
                }
                true
            })
        })?;
        let (mut changes, mut bytes) = (Changes::default(), 0);
        for id in ids {
            if bytes >= STEP_BYTES {
                next = Some(RekeyPosition::Quarantine(id));
                break;
            }
            let Some((row, body)) = self.reading(|file| file.quarantined(id))? else { continue };
            let index = self.codec.reseal(Table::QuarantineIndex, id, &row);
            let body = self.codec.reseal(Table::QuarantineBodies, id, &body);
            if let (Some(index), Some(body)) = (index, body) {
                let put = Put { key: id, index, body };
                bytes += put.cost();
                changes.quarantines.push(put);
            }
        }
        Ok((changes, next))
    }
}

fn is_old(row: &[u8], current: KeyId) -> bool {
    KeyId::of_sealed(row).is_some_and(|id| id != current)
}
