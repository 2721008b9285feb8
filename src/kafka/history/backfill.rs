//! Reads ranges of partitions, the newest records first, so that a time limit cuts off the oldest part.
//!
//! Kafka can only be read forwards, so each partition is read in slices: its last records first, then the records
//! before them, in slices that double. Partitions proceed independently, so one that does not answer does not delay
//! the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ReadFault;
use super::locate::OffsetRanges;
use super::our_topics::Scope;
use super::partition_reader::{Offsets, PartitionReader, ReadRecord};

/// Maximum duration of one poll before the clock and the consumer's positions are checked.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// Number of polls between two readings of the clock, because reading it costs more than handling a record.
const CLOCK_INTERVAL: usize = 256;

/// Number of records in the first and in the largest slice of a partition.
const FIRST_SLICE: i64 = 1_000;
const MAX_SLICE: i64 = 128_000;

/// The slice of a range that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    /// The first offset of the whole range.
    begin: i64,
    /// The first offset of this slice, and the offset after its last one.
    from: i64,
    end: i64,
    /// True if anything of the range has been read.
    is_answered: bool,
}

impl Slice {
    /// Returns the last slice of a range.
    fn last(begin: i64, end: i64) -> Self {
        Self { begin, from: begin.max(end - FIRST_SLICE), end, is_answered: false }
    }

    /// Returns the slice before this one, of twice its size. `None` if this is the first.
    fn previous(self) -> Option<Self> {
        let size = (2 * (self.end - self.from)).clamp(FIRST_SLICE, MAX_SLICE);
        (self.from > self.begin).then(|| Self { from: self.begin.max(self.from - size), end: self.from, ..self })
    }
}

/// Reads ranges backwards.
pub(super) struct Backfill {
    open: BTreeMap<Arc<str>, BTreeMap<i32, Slice>>,
    /// Partitions whose slice has been read.
    finished: Vec<(Arc<str>, i32)>,
    /// The number of slices that have not been read yet.
    unfinished: usize,
    pub(super) records: usize,
    /// True if a part was not read because a seek failed.
    is_cut: bool,
}

impl Backfill {
    pub(super) fn new(OffsetRanges { begins, ends }: &OffsetRanges) -> Self {
        let mut open = BTreeMap::<Arc<str>, BTreeMap<i32, Slice>>::new();
        for (topic, begins) in begins {
            for (partition, begin) in begins {
                let end = ends.get(topic).and_then(|ends| ends.get(partition));
                if let Some(end) = end.filter(|end| begin < end) {
                    open.entry(Arc::clone(topic)).or_default().insert(*partition, Slice::last(*begin, *end));
                }
            }
        }
        let unfinished = open.values().map(BTreeMap::len).sum();
        Self { open, finished: Vec::new(), unfinished, records: 0, is_cut: false }
    }

    /// Reads until everything is read or the time is over. Returns true if everything is read. The reader then no
    /// longer reads any of these partitions.
    pub(super) fn read(
        &mut self,
        reader: &PartitionReader,
        scope: &Scope,
        end: Instant,
        mut take: impl FnMut(ReadRecord),
    ) -> Result<bool, ReadFault> {
        reader.read(&self.offsets(|slice| slice.from))?;
        let (mut looked, mut polls) = (Instant::now(), 0_usize);
        while !self.open.is_empty() {
            let record = reader.next(scope, POLL_TIMEOUT)?;
            let is_idle = record.is_none();
            polls += 1;
            if let Some(record) = record
                && self.note(&record.topic, record.partition, record.offset)
            {
                self.records += 1;
                take(record);
            }
            if is_idle || polls.is_multiple_of(CLOCK_INTERVAL) {
                let now = Instant::now();
                if now >= end {
                    return Ok(false);
                }
                if now - looked >= POLL_TIMEOUT {
                    looked = now;
                    self.pass(&reader.positions());
                    self.go_back(reader)?;
                }
            }
            if self.unfinished == 0 {
                self.go_back(reader)?;
            }
        }
        Ok(!self.is_cut)
    }

    /// Returns the partitions of which nothing has been read, although they have records.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (&Arc<str>, i32)> {
        let slices = self.open.iter().flat_map(|(topic, slices)| slices.iter().map(move |slice| (topic, slice)));
        slices.filter(|(_, (_, slice))| !slice.is_answered).map(|(topic, (partition, _))| (topic, *partition))
    }

    /// Notes that a record was read. Returns true if it belongs to the slice.
    fn note(&mut self, topic: &str, partition: i32, offset: i64) -> bool {
        let Some(slice) = self.open.get_mut(topic).and_then(|slices| slices.get_mut(&partition)) else { return false };
        slice.is_answered = true;
        let is_within = (slice.from..slice.end).contains(&offset);
        self.reach(topic, partition, offset + 1);
        is_within
    }

    /// Notes how far partitions were read. Positions also advance past transaction markers, which are not records.
    fn pass(&mut self, positions: &Offsets) {
        for (topic, partitions) in positions {
            for (partition, position) in partitions {
                self.reach(topic, *partition, *position);
            }
        }
    }

    fn reach(&mut self, topic: &str, partition: i32, next: i64) {
        let Some((topic, slices)) = self.open.get_key_value(topic) else { return };
        let is_read = slices.get(&partition).is_some_and(|slice| next >= slice.end);
        // Only a few are finished at a time, so a linear search is fast enough.
        if is_read && !self.finished.iter().any(|(known, at)| (known, *at) == (topic, partition)) {
            self.finished.push((Arc::clone(topic), partition));
            self.unfinished = self.unfinished.saturating_sub(1);
        }
    }

    /// Continues partitions whose slice has been read with the previous slice.
    fn go_back(&mut self, reader: &PartitionReader) -> Result<(), ReadFault> {
        let (mut back, mut done) = (Offsets::new(), Offsets::new());
        for (topic, partition) in std::mem::take(&mut self.finished) {
            let Some(slice) = self.open.get_mut(&topic).and_then(|slices| slices.get_mut(&partition)) else { continue };
            if let Some(previous) = slice.previous() {
                *slice = previous;
                back.entry(topic).or_default().insert(partition, previous.from);
            } else {
                done.entry(topic).or_default().insert(partition, slice.end);
            }
        }
        reader.stop(&done)?;
        self.close(&done);
        let moved = reader.seek(&back)?;
        self.unfinished += moved.values().map(BTreeMap::len).sum::<usize>();
        // Reading has ended for a partition that librdkafka did not move. Its further records do not belong to the
        // slice.
        back.retain(|topic, offsets| {
            offsets.retain(|at, _| moved.get(topic).is_none_or(|moved| !moved.contains_key(at)));
            !offsets.is_empty()
        });
        self.is_cut |= !back.is_empty();
        self.close(&back);
        Ok(())
    }

    fn close(&mut self, done: &Offsets) {
        for (topic, partitions) in done {
            if let Some(slices) = self.open.get_mut(topic) {
                slices.retain(|partition, _| !partitions.contains_key(partition));
            }
        }
        self.open.retain(|_, slices| !slices.is_empty());
    }

    fn offsets(&self, of: impl Fn(&Slice) -> i64) -> Offsets {
        let offsets = |slices: &BTreeMap<i32, Slice>| slices.iter().map(|(at, slice)| (*at, of(slice))).collect();
        self.open.iter().map(|(topic, slices)| (Arc::clone(topic), offsets(slices))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backfill(ranges: &[(&str, i32, i64, i64)]) -> Backfill {
        let mut of = OffsetRanges::default();
        for (topic, partition, begin, end) in ranges {
            of.begins.entry((*topic).into()).or_default().insert(*partition, *begin);
            of.ends.entry((*topic).into()).or_default().insert(*partition, *end);
        }
        Backfill::new(&of)
    }

    #[test]
    fn slices_double_backwards_and_cover_a_span_once() {
        let (mut slice, mut end) = (Slice::last(7, 1_000_007), 1_000_007);
        assert_eq!((slice.from, slice.end), (999_007, 1_000_007));
        loop {
            assert_eq!(slice.end, end, "a gap or an overlap");
            end = slice.from;
            let Some(previous) = slice.previous() else { break };
            assert!(previous.end - previous.from <= MAX_SLICE);
            slice = previous;
        }
        assert_eq!(slice.from, 7);
        assert_eq!(Slice::last(5, 8).previous(), None);
    }

    #[test]
    fn only_records_of_the_slice_count() {
        let mut backfill = backfill(&[("a", 0, 0, 5_000), ("b", 0, 3, 3)]);
        assert_eq!(backfill.unfinished, 1, "an empty span is read");
        assert_eq!(backfill.unanswered().count(), 1);
        for (topic, partition, offset, counts) in
            [("a", 0, 4_000, true), ("a", 0, 4_998, true), ("a", 1, 4_000, false), ("c", 0, 1, false)]
        {
            assert_eq!(backfill.note(topic, partition, offset), counts, "{topic} {partition} {offset}");
        }
        assert_eq!((backfill.unfinished, backfill.unanswered().count()), (1, 0));
        // Records after the end are left to the follower.
        assert!(!backfill.note("a", 0, 5_000));
        assert_eq!((backfill.unfinished, backfill.finished.len()), (0, 1));
        assert!(!backfill.note("a", 0, 5_001));
        assert_eq!(backfill.finished.len(), 1, "finished twice");
    }

    #[test]
    fn a_slice_that_ends_without_a_record_is_read_to_its_end() {
        let mut backfill = backfill(&[("a", 0, 5, 7)]);
        let position = |at| {
            Offsets::from([(Arc::from("a"), BTreeMap::from([(0, at)])), (Arc::from("b"), BTreeMap::from([(0, 9)]))])
        };
        backfill.pass(&position(6));
        assert_eq!(backfill.unfinished, 1);
        backfill.pass(&position(7));
        assert_eq!(backfill.unfinished, 0);
    }
}
