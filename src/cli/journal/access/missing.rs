//! No journal yet: nothing waits, and no id names anything.

use std::future::ready;

use super::{JournalAccess, Line, Page, Pending, Target};
use crate::config::Journal;
use crate::http::journal::EntryKind;
use crate::journal::QuarantineId;
use crate::journal::summary::{EntrySummary, Summary};

/// A journal that no service has created yet.
pub(super) struct Missing {
    path: String,
    limit_bytes: u64,
}

impl Missing {
    pub(super) fn new(journal: &Journal) -> Self {
        Self { path: journal.directory.display().to_string(), limit_bytes: journal.max_size }
    }
}

impl JournalAccess for Missing {
    fn name(&self) -> String {
        format!("{} (no service runs, and there is no journal yet)", self.path)
    }

    fn is_served(&self) -> bool {
        false
    }

    fn summary(&self, _: usize) -> Pending<'_, Summary> {
        Box::pin(ready(Ok(Summary { limit_bytes: self.limit_bytes, ..Summary::default() })))
    }

    fn export(&self, _: u64) -> Pending<'_, Page<u64>> {
        Box::pin(ready(Ok(Page::default())))
    }

    fn export_quarantine(&self, _: QuarantineId) -> Pending<'_, Page<QuarantineId>> {
        Box::pin(ready(Ok(Page::default())))
    }

    fn entries_about<'a>(&'a self, _: &'a str) -> Pending<'a, Vec<EntrySummary>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn line<'a>(&'a self, _: Target<'a>) -> Pending<'a, Line> {
        Box::pin(ready(Ok(Err(EntryKind::NotFound))))
    }

    fn find<'a>(&'a self, _: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(ready(Ok(EntryKind::NotFound)))
    }

    fn discard<'a>(&'a self, _: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(ready(Ok(EntryKind::NotFound)))
    }
}
