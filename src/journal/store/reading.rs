//! What can be read of the store: entries, lines of the index, the quarantine. Changes nothing.

use outbox::Seq;

use super::Store;
use crate::journal::entry::Entry;
use crate::journal::fault::JournalRejection;
use crate::journal::quarantine::{QuarantineId, QuarantineRow, Quarantined};
use crate::journal::row::EntryRow;
use crate::telemetry::log_code::LogCode;

impl Store {
    /// The entries of these places, each with its place; none where there is none, or where it cannot be read, which is
    /// logged, and it stays where it is.
    ///
    /// # Errors
    /// [`JournalRejection::Failed`], [`JournalRejection::DiskFull`]: nothing can be read now.
    pub fn read(&mut self, seqs: &[Seq]) -> Result<Vec<(Seq, Option<Entry>)>, JournalRejection> {
        let wanted: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
        let bodies = self.reading(|file| file.bodies(&wanted))?;
        let opened = seqs.iter().zip(bodies).map(|(seq, body)| (*seq, body.and_then(|body| self.opened(*seq, &body))));
        Ok(opened.collect::<Vec<_>>())
    }

    /// Up to `limit` entries from a place on, in order, each as in [`Store::read`].
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_from(&mut self, from: Seq, limit: usize) -> Result<Vec<(Seq, Option<Entry>)>, JournalRejection> {
        let bodies = self.reading(|file| file.bodies_from(from.0, limit))?;
        let opened = bodies.into_iter().map(|(seq, body)| (Seq(seq), self.opened(Seq(seq), &body)));
        Ok(opened.collect::<Vec<_>>())
    }

    fn opened(&mut self, seq: Seq, body: &[u8]) -> Option<Entry> {
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

    /// Up to `limit` lines of the index from a place on, in order. One that cannot be read is logged and left out.
    ///
    /// # Errors
    /// As [`Store::read`].
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

    /// The time of acceptance of the oldest entry, in milliseconds since 1970. None where there is no entry, or the
    /// file cannot be read now.
    pub fn oldest(&mut self) -> Option<i64> {
        self.list(Seq(0), 1).ok()?.first().map(|row| row.accepted_at)
    }

    /// Up to `limit` callbacks in quarantine, without contents, in the order of their names, from a name on. One that
    /// cannot be read is left out.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn quarantined(&mut self, from: QuarantineId, limit: usize) -> Result<Vec<QuarantineRow>, JournalRejection> {
        let mut sealed = Vec::new();
        self.reading(|file| {
            file.kept_rows(from.0, |id, row| {
                sealed.push((QuarantineId(id), row.to_vec()));
                sealed.len() < limit
            })
        })?;
        Ok(sealed.into_iter().filter_map(|(id, row)| self.codec.open_quarantine_row(id, &row)).collect())
    }

    /// For each of these callbacks, whether it is in quarantine.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn has_quarantined(&mut self, ids: &[QuarantineId]) -> Result<Vec<bool>, JournalRejection> {
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        self.reading(|file| file.has_kept(&ids))
    }

    /// The line of a callback in quarantine. `None` if it is not there, or cannot be read.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn quarantined_row(&mut self, id: QuarantineId) -> Result<Option<QuarantineRow>, JournalRejection> {
        let rows = self.quarantined(id, 1)?;
        Ok(rows.into_iter().find(|row| row.id == id))
    }

    /// A callback in quarantine, whole. None where it is not there, or cannot be read.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn quarantined_callback(&mut self, id: QuarantineId) -> Result<Option<Quarantined>, JournalRejection> {
        let body = self.reading(|file| file.kept_body(id.0))?;
        Ok(body.and_then(|body| self.codec.open_quarantined(id, &body)))
    }
}
