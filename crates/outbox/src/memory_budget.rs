//! The memory that publications use, and its limits.

use super::machine::Limits;

/// Counts the publications in memory, and their bytes.
pub(super) struct MemoryBudget {
    publications: usize,
    bytes: usize,
    max_publications: usize,
    max_bytes: usize,
}

impl MemoryBudget {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { publications: 0, bytes: 0, max_publications: limits.events, max_bytes: limits.bytes }
    }

    /// Returns true if one more publication of that size may be held.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.publications < self.max_publications && self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// Returns true if more than half of either limit is used. Events are then written to the journal at once, so that
    /// their publications can leave the memory before it is full.
    pub(super) const fn is_half_full(&self) -> bool {
        self.publications > self.max_publications / 2 || self.bytes > self.max_bytes / 2
    }

    pub(super) const fn add(&mut self, bytes: usize) {
        self.publications += 1;
        self.bytes += bytes;
    }

    pub(super) const fn remove(&mut self, bytes: usize) {
        self.publications -= 1;
        self.bytes -= bytes;
    }

    pub(super) const fn publications(&self) -> usize {
        self.publications
    }

    /// Returns true if that many more publications of that size in total may be held.
    #[cfg(test)]
    pub(super) const fn has_room_for(&self, publications: usize, bytes: usize) -> bool {
        self.publications + publications <= self.max_publications && self.bytes + bytes <= self.max_bytes
    }

    /// Compares the counts with the sizes of the publications that are in memory. Returns what is wrong.
    #[cfg(test)]
    pub(super) fn audit(&self, sizes: impl Iterator<Item = usize>) -> Result<(), String> {
        let counted = sizes.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        if counted != (self.publications, self.bytes) {
            return Err(format!(
                "{counted:?} publications and bytes are held, not {:?}",
                (self.publications, self.bytes)
            ));
        }
        if self.publications > self.max_publications || self.bytes > self.max_bytes {
            return Err(format!("{counted:?} publications and bytes are too many"));
        }
        Ok(())
    }
}
