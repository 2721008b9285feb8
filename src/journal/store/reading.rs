//! Reads entries, index rows and the quarantine. Does not change the stored data.

use outbox::Seq;

use super::Store;
use crate::journal::entry::Entry;
use crate::journal::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use crate::journal::row::EntryRow;
use crate::telemetry::journal::JournalRejection;
use crate::telemetry::log_code::LogCode;

impl Store {
    /// Returns the entries with these sequence numbers, in the same order. An entry is `None` if it does not exist or
    /// cannot be read; an unreadable entry is logged and stays in the store.
    ///
    /// # Errors
    /// [`JournalRejection::Failed`] or [`JournalRejection::DiskFull`] if the store cannot be read now.
    pub fn read(&mut self, seqs: &[Seq]) -> Result<Vec<(Seq, Option<Entry>)>, JournalRejection> {
        let wanted: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
        let bodies = self.reading(|file| file.bodies(&wanted))?;
        let opened =
            seqs.iter().zip(bodies).map(|(seq, body)| (*seq, body.and_then(|body| self.open_entry(*seq, &body))));
        Ok(opened.collect::<Vec<_>>())
    }

    /// Returns up to `limit` entries starting at sequence number `from`, in order, as [`Store::read`] does: at least one
    /// if there is any, and fewer than `limit` if they are large.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn read_from(&mut self, from: Seq, limit: usize) -> Result<Vec<(Seq, Option<Entry>)>, JournalRejection> {
        let bodies = self.reading(|file| file.bodies_from(from.0, limit))?;
        let opened = bodies.into_iter().map(|(seq, body)| (Seq(seq), self.open_entry(Seq(seq), &body)));
        Ok(opened.collect::<Vec<_>>())
    }

    fn open_entry(&mut self, seq: Seq, body: &[u8]) -> Option<Entry> {
        let entry = self.codec.open_entry(seq, body);
        if entry.is_none() {
            tracing::error!(
                code = LogCode::JournalEntryDamaged.as_str(),
                seq = seq.0,
                "an entry cannot be read; it is kept"
            );
        }
        entry
    }

    /// Returns up to `limit` index rows starting at sequence number `from`, in order. Omits rows that cannot be read.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn list(&mut self, from: Seq, limit: usize) -> Result<Vec<EntryRow>, JournalRejection> {
        let mut sealed = Vec::new();
        self.reading(|file| {
            file.rows(from.0, |seq, row| {
                sealed.push((Seq(seq), row.to_vec()));
                sealed.len() < limit
            })
        })?;
        Ok(sealed.into_iter().filter_map(|(seq, row)| self.codec.open_row(seq, &row)).collect())
    }

    /// Returns when the oldest entry was received, in milliseconds since 1970. `None` if there is no entry, or it
    /// cannot be read now.
    pub fn oldest(&mut self) -> Option<i64> {
        self.list(Seq(0), 1).ok()?.first().map(|row| row.received_at)
    }

    /// Returns up to `limit` quarantined callbacks without their content, ordered by id, starting at `from`. Omits rows
    /// that cannot be read.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn quarantined(&mut self, from: QuarantineId, limit: usize) -> Result<Vec<QuarantineRow>, JournalRejection> {
        let mut sealed = Vec::new();
        self.reading(|file| {
            file.quarantine_rows(from.0, |id, row| {
                sealed.push((QuarantineId(id), row.to_vec()));
                sealed.len() < limit
            })
        })?;
        Ok(sealed.into_iter().filter_map(|(id, row)| self.codec.open_quarantine_row(id, &row)).collect())
    }

    /// Returns for each id whether the callback is in quarantine.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn has_quarantined(&mut self, ids: &[QuarantineId]) -> Result<Vec<bool>, JournalRejection> {
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        self.reading(|file| file.has_quarantined(&ids))
    }

    /// Returns the index row of a quarantined callback. `None` if it does not exist or cannot be read.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn quarantined_row(&mut self, id: QuarantineId) -> Result<Option<QuarantineRow>, JournalRejection> {
        let rows = self.quarantined(id, 1)?;
        Ok(rows.into_iter().find(|row| row.id == id))
    }

    /// Returns a quarantined callback with its content. `None` if it does not exist or cannot be read.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn quarantined_callback(&mut self, id: QuarantineId) -> Result<Option<Quarantined>, JournalRejection> {
        let body = self.reading(|file| file.quarantined_body(id.0))?;
        Ok(body.and_then(|body| self.codec.open_quarantined(id, &body)))
    }
}
