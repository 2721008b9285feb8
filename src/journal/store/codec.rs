//! Encrypts and decrypts entries and callbacks. Each sealed value is bound to its table and key, so a value that was
//! moved to another row does not open.

use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::jose::seal::{KeyId, Opener, SealFault, Sealer};
use outbox::Seq;

use super::tables::Put;
use crate::journal::entry::Entry;
use crate::journal::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use crate::journal::row::{EntryRef, EntryRow};

/// Tables with sealed rows.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Index,
    Bodies,
    QuarantineIndex,
    QuarantineBodies,
}

impl Table {
    /// Returns the associated data of a row: table and key. Must never change, otherwise existing data cannot be
    /// opened.
    fn associated_data(self, key: u128) -> [u8; 17] {
        let mut data = [0; 17];
        let (table, rest) = data.split_at_mut(1);
        table.fill(match self {
            Self::Index => b'i',
            Self::Bodies => b'b',
            Self::QuarantineIndex => b'I',
            Self::QuarantineBodies => b'B',
        });
        rest.copy_from_slice(&key.to_be_bytes());
        data
    }
}

/// Seals with the first key, and opens with all keys.
pub(super) struct SealedCodec {
    sealer: Sealer,
    opener: Opener,
    first: Arc<ContentKey>,
    keys: Vec<KeyId>,
    /// Buffer for plaintext before it is sealed.
    clear: Vec<u8>,
}

impl SealedCodec {
    /// Creates a codec with these keys. Returns `None` if there are none.
    pub(super) fn new(keys: &[Arc<ContentKey>]) -> Option<Self> {
        let first = Arc::clone(keys.first()?);
        Some(Self {
            sealer: Sealer::new(Arc::clone(&first)),
            opener: Opener::new(keys),
            first,
            keys: keys.iter().map(|key| KeyId::of(key)).collect(),
            clear: Vec::new(),
        })
    }

    /// Returns the key that seals.
    pub(super) fn key(&self) -> Arc<ContentKey> {
        Arc::clone(&self.first)
    }

    /// Returns the id of the key that seals.
    pub(super) fn current(&self) -> KeyId {
        KeyId::of(&self.first)
    }

    /// Returns true if one of the keys has this id.
    pub(super) fn opens(&self, id: KeyId) -> bool {
        self.keys.contains(&id)
    }

    /// Opens a value with any of the keys, and seals it again with the first. Returns `None` if it cannot be opened.
    pub(super) fn reseal(&mut self, table: Table, key: u128, sealed: &[u8]) -> Option<Vec<u8>> {
        let clear = self.opener.open(&table.associated_data(key), sealed).ok()?;
        let mut output = Vec::new();
        self.sealer.seal(&table.associated_data(key), &clear, &mut output);
        Some(output)
    }

    pub(super) fn seal_entry(&mut self, entry: &Entry) -> Put<u64> {
        let seq = entry.seq.0;
        let body = self.seal(Table::Bodies, seq.into(), |clear| entry.encode(clear));
        let bytes = body.len() as u64;
        let index = self.seal(Table::Index, seq.into(), |clear| EntryRow::encode(entry, bytes, clear));
        Put { key: seq, index, body }
    }

    pub(super) fn seal_quarantined(&mut self, callback: &Quarantined) -> Put<u128> {
        let id = callback.id().0;
        let body = self.seal(Table::QuarantineBodies, id, |clear| callback.encode(clear));
        let index = self.seal(Table::QuarantineIndex, id, |clear| callback.encode_row(clear));
        Put { key: id, index, body }
    }

    fn seal(&mut self, table: Table, key: u128, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.clear.clear();
        write(&mut self.clear);
        let mut sealed = Vec::new();
        self.sealer.seal(&table.associated_data(key), &self.clear, &mut sealed);
        sealed
    }

    /// Opens and decodes an index row. Fails if its key is missing or the row is damaged.
    pub(super) fn open_ref(&mut self, seq: Seq, row: &[u8]) -> Result<EntryRef, SealFault> {
        let clear = self.opener.open(&Table::Index.associated_data(seq.0.into()), row)?;
        EntryRef::decode(seq, &clear).map_err(SealFault::from)
    }

    /// Like [`SealedCodec::open_ref`], for the quarantine.
    pub(super) fn quarantine_row(&mut self, id: QuarantineId, row: &[u8]) -> Result<QuarantineRow, SealFault> {
        let clear = self.opener.open(&Table::QuarantineIndex.associated_data(id.0), row)?;
        QuarantineRow::decode(id, &clear).map_err(SealFault::from)
    }

    pub(super) fn open_row(&mut self, seq: Seq, row: &[u8]) -> Option<EntryRow> {
        let clear = self.opener.open(&Table::Index.associated_data(seq.0.into()), row).ok()?;
        EntryRow::decode(seq, &clear).ok()
    }

    pub(super) fn open_entry(&mut self, seq: Seq, body: &[u8]) -> Option<Entry> {
        let clear = self.opener.open(&Table::Bodies.associated_data(seq.0.into()), body).ok()?;
        Entry::decode(seq, &clear).ok()
    }

    pub(super) fn open_quarantine_row(&mut self, id: QuarantineId, row: &[u8]) -> Option<QuarantineRow> {
        self.quarantine_row(id, row).ok()
    }

    pub(super) fn open_quarantined(&mut self, id: QuarantineId, body: &[u8]) -> Option<Quarantined> {
        let clear = self.opener.open(&Table::QuarantineBodies.associated_data(id.0), body).ok()?;
        Quarantined::decode(&clear).ok()
    }
}
