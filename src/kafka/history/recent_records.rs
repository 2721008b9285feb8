//! Reads the tail of our topics: the verdicts of recent events, from which the dedup cache is rebuilt after a
//! restart.
//!
//! A record in a topic is persisted, so its event can be answered as a success. Uncertain records are left out; the
//! worst consequence is a duplicate.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox::Published;
use outbox::verdict::Verdict;

use super::ReadFault;
use super::backfill::Backfill;
use super::correlate::{Correlator, Known};
use super::locate::{Located, OffsetRanges};
use super::our_topics::Scope;
use super::partition_reader::{FetchProfile, Offsets, PartitionReader};
use super::published_record::PublishedRecord;
use crate::kafka::client::settings::Cluster;
use crate::kafka::client::timestamp::ago;

/// Maximum number of events per call of `observe`.
const BATCH: usize = 1 << 16;

/// Limits how much of the tail is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The maximum age of records. A record's timestamp is its time of receipt, or later. So every record that was
    /// published within this time is at or after the first offset with such a timestamp, even if its own timestamp is
    /// older.
    pub since: Duration,
    /// The maximum number of records. If there are more, the last ones of each partition are read.
    pub limit: usize,
    /// The maximum duration. The newest records of each partition are read first.
    pub time_limit: Duration,
}

impl Default for Window {
    /// Returns ten minutes, a million records, five seconds.
    fn default() -> Self {
        Self { since: Duration::from_secs(600), limit: 1_000_000, time_limit: Duration::from_secs(5) }
    }
}

/// The result of reading the tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The number of events found. An event can be counted twice.
    pub events: usize,
    /// The number of records read, including invalid ones.
    pub records: usize,
    /// Topics with a partition that did not answer. The partition is not in the [`Checkpoint`], so the next attempt
    /// reads it.
    pub unread: Vec<String>,
    /// Topics that this user may not describe.
    pub denied: Vec<String>,
    /// True if a limit left out the oldest part of the partitions that answered.
    pub is_cut: bool,
    /// The timestamp of the newest record by application id, in milliseconds since 1970.
    pub newest: BTreeMap<String, i64>,
}

impl Backlog {
    /// Returns true if nothing within the window was left out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty() && self.denied.is_empty() && !self.is_cut
    }
}

/// The position from which following continues: the next offset of each partition that was read, and the incomplete
/// events.
#[derive(Default)]
pub struct Checkpoint {
    pub(super) offsets: Offsets,
    pub(super) correlator: Correlator,
}

impl Checkpoint {
    /// Returns a copy for a follower, and moves the incomplete events to it.
    pub fn fork(&mut self) -> Self {
        Self { offsets: self.offsets.clone(), correlator: std::mem::take(&mut self.correlator) }
    }

    /// Returns topic, partition and next offset of each partition that was read.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.offsets
            .iter()
            .flat_map(|(topic, offsets)| offsets.iter().map(|(partition, at)| (&**topic, *partition, *at)))
    }
}

/// Reads the tail of the topics, up to what the brokers had persisted at the beginning. Skips partitions that are
/// already in `resume`, and adds those that are read to it. Blocks, for at most a little longer than
/// `window.time_limit`. `observe` is called with what became known, the newest part first. A partition that does not
/// answer is left out.
///
/// # Errors
/// [`ReadFault`] if nothing could be read: [`ReadFault::Unreachable`] if no broker answers within the time,
/// [`ReadFault::NotAllowed`] if this user may read none of the topics, or may describe but not read one.
pub fn read_tail(
    cluster: &Cluster,
    scope: &Scope,
    window: Window,
    resume: &mut Checkpoint,
    observe: impl FnMut(&[Known]),
) -> Result<Backlog, ReadFault> {
    let end = Instant::now() + window.time_limit;
    let reader = PartitionReader::of_events(cluster, FetchProfile::Fast)?;
    let mut located = reader.locate(&scope.topic_names(), end)?;
    if located.led.is_empty() && !located.denied.is_empty() && located.unanswered.is_empty() {
        return Err(ReadFault::NotAllowed);
    }
    let is_read = |topic: &str, partition: i32| resume.offsets.get(topic)?.get(&partition).copied();
    located.led.retain(|led| is_read(&led.topic, led.partition).is_none());
    let mut ranges = reader.offset_ranges(&located.led, ago(window.since), end);
    let is_whole = trim(&mut ranges, window.limit);
    let mut backfill = Backfill::new(&ranges);
    let mut observer = BatchObserver::new(&mut resume.correlator, observe);
    let mut newest: HashMap<usize, i64> = HashMap::new();
    let result = backfill.read(&reader, scope, end, |record| {
        if let Some(published_record) = record.published_record {
            newest
                .entry(published_record.application)
                .and_modify(|at| *at = record.timestamp.max(*at))
                .or_insert(record.timestamp);
            observer.take(published_record, record.timestamp);
        }
    });
    observer.flush();
    let events = observer.events;
    reader.end();
    let is_cut = !result? || !is_whole;
    let mut unread = unread(&located, &ranges);
    for (topic, partition) in backfill.unanswered() {
        ranges.ends.get_mut(topic).and_then(|ends| ends.remove(&partition));
        unread.insert(Arc::clone(topic));
    }
    for (topic, ends) in ranges.ends {
        resume.offsets.entry(topic).or_default().extend(ends);
    }
    let applications = scope.applications();
    let newest = applications.filter_map(|(id, number)| Some((id.to_owned(), *newest.get(&number)?))).collect();
    let names = |topics: BTreeSet<Arc<str>>| topics.iter().map(|topic| (**topic).to_owned()).collect();
    let (records, unread, denied) = (backfill.records, names(unread), names(located.denied));
    Ok(Backlog { events, records, unread, denied, is_cut, newest })
}

/// Returns the topics of which some partition did not answer.
pub(super) fn unread(located: &Located, ranges: &OffsetRanges) -> BTreeSet<Arc<str>> {
    let is_found = |topic: &str, partition: i32| ranges.ends.get(topic).and_then(|ends| ends.get(&partition)).is_some();
    let silent = located.led.iter().filter(|led| !is_found(&led.topic, led.partition)).map(|led| &led.topic);
    silent.chain(&located.unanswered).cloned().collect()
}

/// Collects the events that records reveal, and passes them on in batches. If an event has a dead letter as well as a
/// record, the dead letter is passed first, because the first verdict counts.
pub(super) struct BatchObserver<'a, T> {
    correlator: &'a mut Correlator,
    batch: Vec<Known>,
    observe: T,
    pub(super) events: usize,
}

impl<'a, T: FnMut(&[Known])> BatchObserver<'a, T> {
    pub(super) fn new(correlator: &'a mut Correlator, observe: T) -> Self {
        Self { correlator, batch: Vec::new(), observe, events: 0 }
    }

    pub(super) fn take(&mut self, published_record: PublishedRecord, timestamp: i64) {
        self.batch.extend(self.correlator.insert(published_record, timestamp));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        let is_letter = |known: &Known| matches!(known.published, Published::Whole(Verdict::DeadLettered(_)));
        self.batch.sort_unstable_by_key(|known| (!is_letter(known), known.timestamp, known.key));
        if !self.batch.is_empty() {
            (self.observe)(&self.batch);
        }
        self.events += self.batch.len();
        self.batch.clear();
    }
}

/// Cuts off the oldest part of the ranges, the same fraction of each partition. Returns true if nothing had to be
/// cut.
fn trim(ranges: &mut OffsetRanges, limit: usize) -> bool {
    let lengths = ranges.begins.iter().flat_map(|(topic, begins)| {
        let ends = ranges.ends.get(topic);
        begins.iter().filter_map(move |(partition, begin)| Some(i128::from(*ends?.get(partition)? - begin)))
    });
    let (total, limit) = (lengths.sum::<i128>(), i128::try_from(limit).unwrap_or(i128::MAX));
    if total <= limit {
        return true;
    }
    for (topic, begins) in &mut ranges.begins {
        for (partition, begin) in begins {
            let Some(end) = ranges.ends.get(topic).and_then(|ends| ends.get(partition)) else { continue };
            let share = i128::from(*end - *begin) * limit / total;
            *begin = *end - i64::try_from(share).unwrap_or_default();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(of: &[(&str, i32, i64)]) -> Offsets {
        let mut offsets = Offsets::new();
        for (topic, partition, at) in of {
            offsets.entry((*topic).into()).or_default().insert(*partition, *at);
        }
        offsets
    }

    fn ranges(of: &[(&str, i32, i64, i64)]) -> OffsetRanges {
        let part = |which: fn(&(&'static str, i32, i64, i64)) -> i64, of: &[(&'static str, i32, i64, i64)]| {
            offsets(&of.iter().map(|span| (span.0, span.1, which(span))).collect::<Vec<_>>())
        };
        let of: Vec<(&'static str, i32, i64, i64)> =
            of.iter().map(|span| (if span.0 == "a" { "a" } else { "b" }, span.1, span.2, span.3)).collect();
        OffsetRanges { begins: part(|span| span.2, &of), ends: part(|span| span.3, &of) }
    }

    #[test]
    fn of_too_many_records_the_last_of_each_partition_are_read() {
        let mut ranges = ranges(&[("a", 0, 0, 1000), ("a", 1, 500, 500), ("b", 0, 2000, 5000)]);
        assert!(trim(&mut ranges, 4000));
        assert!(!trim(&mut ranges, 400));
        assert_eq!(ranges.begins, offsets(&[("a", 0, 900), ("a", 1, 500), ("b", 0, 4700)]));
    }
}
