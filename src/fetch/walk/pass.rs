//! Reads one list by page numbers, and decides when it must be read again.

use std::collections::HashSet;

use crate::fetch::calls::PAGE_SIZE;

/// Maximum number of times that one list is read.
const MAX_PASSES: u32 = 4;
/// Maximum number of pages of a list, whatever the answers contain.
const MAX_PAGES: usize = 100_000;

/// The next step after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read this page of the same list.
    Page(usize),
    /// The list is complete.
    Nothing,
    /// The list was read the maximum number of times and kept changing, or its number of rows differs from its total.
    Unstable,
}

/// The state of the current list. Lists are read one after the other.
#[derive(Debug, Default)]
pub(super) struct Pass {
    passes: u32,
    ids: HashSet<String>,
    total: Option<u64>,
    changed: bool,
    /// Total and rows of the previous pass, if they differed although nothing changed.
    mismatch: Option<(u64, usize)>,
}

impl Pass {
    /// Processes a page.
    pub(super) fn page<'a>(
        &mut self,
        page: usize,
        ids: impl ExactSizeIterator<Item = &'a str>,
        total: Option<u64>,
    ) -> Next {
        let rows = ids.len();
        self.ids.extend(ids.map(str::to_owned));
        let total = total.unwrap_or(self.ids.len() as u64);
        self.changed |= self.total.is_some_and(|before| before != total);
        self.total = Some(total);
        let complete = self.ids.len() as u64 >= total;
        // A short page with missing rows can be due to a limit of the server.
        let last = rows == 0 || (rows < PAGE_SIZE && complete) || page >= MAX_PAGES;
        if !last {
            return Next::Page(page + 1);
        }
        self.end(total)
    }

    fn end(&mut self, total: u64) -> Next {
        let rows = self.ids.len();
        self.passes += 1;
        let stable = !self.changed && rows as u64 == total;
        let again = self.changed || self.mismatch != Some((total, rows));
        self.mismatch = (!self.changed).then_some((total, rows));
        self.ids.clear();
        self.total = None;
        self.changed = false;
        if !stable && again && self.passes < MAX_PASSES {
            return Next::Page(1);
        }
        *self = Self::default();
        if stable { Next::Nothing } else { Next::Unstable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes a page with the ids `from..to`.
    fn page(pass: &mut Pass, page: usize, (from, to): (usize, usize), total: u64) -> Next {
        let ids: Vec<_> = (from..to).map(|id| id.to_string()).collect();
        pass.page(page, ids.iter().map(String::as_str), Some(total))
    }

    #[test]
    fn list_ends_with_a_short_page() {
        let mut pass = Pass::default();
        assert_eq!(page(&mut pass, 1, (0, 100), 130), Next::Page(2));
        assert_eq!(page(&mut pass, 2, (100, 130), 130), Next::Nothing);
        assert_eq!(page(&mut pass, 1, (0, 0), 0), Next::Nothing);
        assert_eq!(page(&mut pass, 1, (0, 5), 5), Next::Nothing);
    }

    #[test]
    fn full_last_page_is_followed_by_one_more_request() {
        let mut pass = Pass::default();
        assert_eq!(page(&mut pass, 1, (0, 100), 100), Next::Page(2));
        assert_eq!(page(&mut pass, 2, (0, 0), 100), Next::Nothing);
    }

    #[test]
    fn list_whose_total_changes_is_read_again() {
        let mut pass = Pass::default();
        assert_eq!(page(&mut pass, 1, (0, 100), 150), Next::Page(2));
        // A user of the first page was deleted, so one row of the second has moved to the first.
        assert_eq!(page(&mut pass, 2, (101, 150), 149), Next::Page(1));
        assert_eq!(page(&mut pass, 1, (1, 101), 149), Next::Page(2));
        assert_eq!(page(&mut pass, 2, (101, 150), 149), Next::Nothing);
    }

    #[test]
    fn list_that_keeps_changing_is_reported() {
        let mut pass = Pass::default();
        for total in [150_u64, 149, 148] {
            assert_eq!(page(&mut pass, 1, (0, 100), total), Next::Page(2));
            assert_eq!(page(&mut pass, 2, (100, total as usize - 1), total - 1), Next::Page(1));
        }
        assert_eq!(page(&mut pass, 1, (0, 100), 147), Next::Page(2));
        assert_eq!(page(&mut pass, 2, (100, 146), 146), Next::Unstable);
        assert_eq!(page(&mut pass, 1, (0, 5), 5), Next::Nothing);
    }

    #[test]
    fn total_that_never_fits_is_read_twice_and_reported() {
        let mut pass = Pass::default();
        for last in [Next::Page(1), Next::Unstable] {
            assert_eq!(page(&mut pass, 1, (0, 5), 9), Next::Page(2));
            assert_eq!(page(&mut pass, 2, (0, 0), 9), last);
        }
    }
}
