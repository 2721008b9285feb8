//! The tail of our own topics: what became of the events of the last minutes, for a memory that outlives the process.
//!
//! What the brokers tell is what they have persisted, so it may be answered as a success. What cannot be told for certain is
//! left out: then a copy can follow, and that is all.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use super::pairing::Known;
use super::pairing::Pairing;
pub use super::reader::TailFault;
use super::reader::{Pace, Places, Reader, Seen, Spans};
use super::scope::Scope;
use super::settings::Cluster;
use crate::outbox::EventKey;
use crate::outbox::verdict::Verdict;

/// How long one poll waits, after which it is looked whether what is left is no records.
const GLANCE: Duration = Duration::from_millis(20);

/// How much of the tail is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From the first record of each partition that is not older than this, by the records' timestamps, which are times
    /// of acceptance. What stands behind it counts, whatever its own timestamp is.
    pub since: Duration,
    /// At most that many records; of more, the last of each partition.
    pub limit: usize,
    /// At most for that long.
    pub time_limit: Duration,
}

impl Default for Window {
    /// Ten minutes, a million records, five seconds.
    fn default() -> Self {
        Self { since: Duration::from_secs(600), limit: 1_000_000, time_limit: Duration::from_secs(5) }
    }
}

/// The tail, as far as it was read.
pub struct Tail {
    /// What became of which events: each once, the oldest first.
    pub events: Vec<Known>,
    /// How many records were read, garbage included.
    pub records: usize,
    /// Whether nothing within the window was left out: no partition was without a leader, and neither limit was reached.
    pub complete: bool,
    /// Where following goes on.
    pub resume: Resume,
}

/// Where following goes on: the next offset of each partition, and the events of which only a part was seen.
#[derive(Default)]
pub struct Resume {
    pub(super) places: Places,
    pub(super) pairing: Pairing,
}

impl Resume {
    /// Topic, partition and next offset. Where the tail is not complete, that is how far it was read.
    pub fn next_offsets(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.places.iter().flat_map(|(topic, places)| places.iter().map(|(partition, at)| (&**topic, *partition, *at)))
    }
}

/// Reads the tail of the topics, up to what the brokers had persisted when it began. Blocks, for `window.time_limit` at
/// most and a moment more. Of an event that has a dead letter as well as a record, the dead letter counts.
///
/// # Errors
/// [`TailFault`] where nothing could be read: [`TailFault::Away`] where no broker answers within the time. An absence
/// that begins later makes the tail incomplete.
pub fn read_tail(cluster: &Cluster, scope: &Scope, window: Window) -> Result<Tail, TailFault> {
    let end = Instant::now() + window.time_limit;
    let reader = Reader::new(cluster, Pace::Fast)?;
    let (partitions, all_led) = reader.partitions(scope.topics(), end)?;
    let mut spans = reader.since(&partitions, ago(window.since), end)?;
    let whole = trim(&mut spans, window.limit);
    let mut reading = Reading::of(spans);
    let complete = reading.read(&reader, scope, end)? && whole && all_led;
    reader.end();
    Ok(reading.tail(complete))
}

/// That long ago, in milliseconds since 1970.
pub(super) fn ago(time: Duration) -> i64 {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(time);
    i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
}

/// Cuts what is too much off the beginnings: the same part of each partition. Says whether nothing had to go.
fn trim(spans: &mut Spans, limit: usize) -> bool {
    let lengths = spans.begins.iter().flat_map(|(topic, begins)| {
        let ends = spans.ends.get(topic);
        begins.iter().filter_map(move |(partition, begin)| Some(i128::from(*ends?.get(partition)? - begin)))
    });
    let (total, limit) = (lengths.sum::<i128>(), i128::try_from(limit).unwrap_or(i128::MAX));
    if total <= limit {
        return true;
    }
    for (topic, begins) in &mut spans.begins {
        for (partition, begin) in begins {
            let Some(end) = spans.ends.get(topic).and_then(|ends| ends.get(partition)) else { continue };
            let kept = i128::from(*end - *begin) * limit / total;
            *begin = *end - i64::try_from(kept).unwrap_or_default();
        }
    }
    false
}

/// A reading on its way.
struct Reading {
    /// The next offset of each partition.
    next: Places,
    /// The ends of the partitions that are not read to their end.
    open: Places,
    events: HashMap<EventKey, (Verdict, i64)>,
    pairing: Pairing,
    records: usize,
}

impl Reading {
    fn of(Spans { begins, ends, .. }: Spans) -> Self {
        let mut open = ends;
        for (topic, ends) in &mut open {
            ends.retain(|partition, end| {
                begins.get(topic).and_then(|begins| begins.get(partition)).is_some_and(|begin| begin < end)
            });
        }
        open.retain(|_, ends| !ends.is_empty());
        Self { next: begins, open, events: HashMap::new(), pairing: Pairing::default(), records: 0 }
    }

    /// Reads until everything is read, or the time is over; says which.
    fn read(&mut self, reader: &Reader, scope: &Scope, end: Instant) -> Result<bool, TailFault> {
        let begins = self.next.iter().filter_map(|(topic, begins)| {
            let open = self.open.get(topic)?;
            let begins = begins.iter().filter(|(partition, _)| open.contains_key(partition));
            Some((topic.clone(), begins.map(|(partition, begin)| (*partition, *begin)).collect()))
        });
        reader.read(&begins.collect())?;
        let mut looked = Instant::now();
        while !self.open.is_empty() {
            let seen = reader.next(scope, GLANCE)?;
            let idle = seen.is_none();
            if let Some(seen) = seen {
                self.take(seen);
            }
            // Asking for the time and the positions is dear, beside taking a record.
            if idle || self.records.is_multiple_of(256) {
                let now = Instant::now();
                if now >= end {
                    return Ok(false);
                }
                if now - looked >= GLANCE {
                    looked = now;
                    self.pass(&reader.positions());
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, Seen { topic, partition, offset, timestamp, sighting }: Seen) {
        let Some(end) = self.open.get(&topic).and_then(|ends| ends.get(&partition)).copied() else { return };
        if offset < end {
            self.records += 1;
            if let Some(known) = sighting.and_then(|sighting| self.pairing.take(sighting, timestamp)) {
                self.know(known);
            }
        }
        self.advance(&topic, partition, offset + 1, end);
    }

    /// Takes note of partitions that were read past what is no record.
    fn pass(&mut self, positions: &Places) {
        for (topic, partitions) in positions {
            for (partition, position) in partitions {
                let end = self.open.get(topic).and_then(|ends| ends.get(partition)).copied();
                if let Some(end) = end.filter(|end| position >= end) {
                    self.advance(topic, *partition, *position, end);
                }
            }
        }
    }

    fn advance(&mut self, topic: &str, partition: i32, next: i64, end: i64) {
        if let Some(place) = self.next.get_mut(topic).and_then(|places| places.get_mut(&partition)) {
            *place = next.min(end);
        }
        if next >= end
            && let Some(ends) = self.open.get_mut(topic)
        {
            ends.remove(&partition);
            if ends.is_empty() {
                self.open.remove(topic);
            }
        }
    }

    fn know(&mut self, Known { key, verdict, timestamp }: Known) {
        let known = self.events.entry(key).or_insert((verdict, timestamp));
        if let Verdict::DeadLettered(_) = verdict {
            known.0 = verdict;
        }
        known.1 = known.1.max(timestamp);
    }

    fn tail(self, complete: bool) -> Tail {
        let events = self.events.into_iter();
        let mut events: Vec<_> = events.map(|(key, (verdict, timestamp))| Known { key, verdict, timestamp }).collect();
        events.sort_unstable_by_key(|known| (known.timestamp, known.key));
        let resume = Resume { places: self.next, pairing: self.pairing };
        Tail { events, records: self.records, complete, resume }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(of: &[(&str, i32, i64)]) -> Places {
        let mut places = Places::new();
        for (topic, partition, at) in of {
            places.entry((*topic).into()).or_default().insert(*partition, *at);
        }
        places
    }

    fn spans(of: &[(&str, i32, i64, i64)]) -> Spans {
        let part = |which: fn(&(&'static str, i32, i64, i64)) -> i64, of: &[(&'static str, i32, i64, i64)]| {
            places(&of.iter().map(|span| (span.0, span.1, which(span))).collect::<Vec<_>>())
        };
        let of: Vec<(&'static str, i32, i64, i64)> =
            of.iter().map(|span| (if span.0 == "a" { "a" } else { "b" }, span.1, span.2, span.3)).collect();
        Spans { begins: part(|span| span.2, &of), ends: part(|span| span.3, &of), all: true }
    }

    #[test]
    fn of_too_many_records_the_last_of_each_partition_are_read() {
        let mut spans = spans(&[("a", 0, 0, 1000), ("a", 1, 500, 500), ("b", 0, 2000, 5000)]);
        assert!(trim(&mut spans, 4000));
        assert!(!trim(&mut spans, 400));
        assert_eq!(spans.begins, places(&[("a", 0, 900), ("a", 1, 500), ("b", 0, 4700)]));
    }

    #[test]
    fn what_stands_behind_the_end_is_left_to_whoever_follows() {
        let mut reading = Reading::of(spans(&[("a", 0, 5, 7), ("b", 0, 3, 3)]));
        let seen = |offset| Seen { topic: "a".into(), partition: 0, offset, timestamp: 0, sighting: None };
        reading.take(seen(5));
        assert_eq!(reading.next, places(&[("a", 0, 6), ("b", 0, 3)]));
        // One before the end is missing, as the mark of a transaction.
        reading.take(seen(9));
        assert!(reading.open.is_empty());
        assert_eq!((reading.next, reading.records), (places(&[("a", 0, 7), ("b", 0, 3)]), 1));
    }

    #[test]
    fn a_partition_that_ends_with_what_is_no_record_is_read_to_its_end() {
        let mut reading = Reading::of(spans(&[("a", 0, 5, 7)]));
        reading.pass(&places(&[("a", 0, 6), ("a", 1, 9), ("b", 0, 9)]));
        assert!(!reading.open.is_empty());
        reading.pass(&places(&[("a", 0, 7)]));
        assert!(reading.open.is_empty());
    }
}
