//! Determines which partitions accept records, from delivery reports and from records that have waited too long for
//! one. Pure.
//!
//! A partition is closed if its oldest record has waited for [`SILENCE`] without a confirmation in between, or if the
//! last reports were failures. Its first confirmation opens it. While it is closed, the producer gets only a few
//! records at a time, as probes; the others wait in the outbox, with their publications in the journal. So a
//! partition without a leader neither fills the producer's queue nor delays an answer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use outbox::{EventHandle, FailureCode};

use super::partitioner::partition_of;

/// Maximum time without a confirmation.
const SILENCE: Duration = Duration::from_secs(2);
/// Maximum number and size in bytes of a closed partition's records in the producer.
pub(in crate::kafka) const MAX_PROBES: usize = 16;
const MAX_PROBE_BYTES: usize = 1 << 20;
/// Failures of records that timed out, not of rejected ones.
const WAITING: [FailureCode; 2] = [FailureCode::TimedOut, FailureCode::PartitionUnavailable];
/// Minimum time between the end of a probe and the next one, if the probes fail at once. Shorter than the back-off of
/// an event that has failed once.
const PROBE_PAUSE: Duration = Duration::from_millis(200);
/// A closed partition without a record opens after this long, because only a record can show that it accepts records
/// again.
const IDLE: Duration = Duration::from_secs(30);

/// The indexes of a topic and its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct PartitionIndex {
    topic: usize,
    partition: usize,
}

/// A record in the producer.
#[derive(Debug, Clone, Copy)]
struct Outstanding {
    handle: EventHandle,
    since: Duration,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Partition {
    outstanding: VecDeque<Outstanding>,
    bytes: usize,
    last_success: Option<Duration>,
    closed: Option<Closed>,
}

/// The time and reason of closing a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Closed {
    /// The last indication that it does not accept records.
    last_sign: Duration,
    failure: Option<FailureCode>,
}

#[derive(Debug)]
struct Topic {
    name: String,
    partitions: Vec<Partition>,
    shown: usize,
}

/// A closed partition whose records wait or time out, but are not rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kafka) struct Silent {
    pub(in crate::kafka) topic: String,
    pub(in crate::kafka) partition: usize,
    /// The time for which its oldest record has waited.
    pub(in crate::kafka) waited: Duration,
}

/// The changes since the last check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::kafka) struct Changes {
    /// Events that wait for partitions that have just closed.
    pub(in crate::kafka) waiting: Vec<EventHandle>,
    /// Topics whose number of closed partitions has changed, with the number.
    pub(in crate::kafka) topics: Vec<(String, usize)>,
    /// True if a partition was opened.
    pub(in crate::kafka) opened: bool,
}

/// All partitions that records were sent to.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Partitions {
    topics: Vec<Topic>,
    /// The number of partitions of the cluster's topics.
    counts: HashMap<String, usize>,
    /// The last confirmation on any partition.
    last_success: Option<Duration>,
    /// How many times partitions have opened.
    openings: u64,
}

impl Partitions {
    /// Sets the number of partitions of topics, as reported by the cluster.
    pub(in crate::kafka) fn set_counts(&mut self, counts: impl IntoIterator<Item = (String, usize)>) {
        self.counts.extend(counts);
        for topic in &mut self.topics {
            let count = self.counts.get(&topic.name).copied().unwrap_or_default();
            if count > topic.partitions.len() {
                topic.partitions.resize_with(count, Partition::default);
            }
        }
    }

    /// Returns the partition of a record with that key. A record without a key can go to any partition.
    fn index(&self, topic: &str, key: Option<&str>) -> Option<PartitionIndex> {
        // A handful of topics: comparing their names is faster than hashing one.
        let topic = self.topics.iter().position(|known| known.name == topic)?;
        let count = self.topics.get(topic)?.partitions.len();
        Some(PartitionIndex { topic, partition: key.map_or(0, |key| partition_of(key.as_bytes(), count)) })
    }

    fn at(&mut self, index: PartitionIndex) -> Option<&mut Partition> {
        self.topics.get_mut(index.topic)?.partitions.get_mut(index.partition)
    }

    /// Returns true if the partition of that key is considered to accept records.
    pub(in crate::kafka) fn accepts(&self, topic: &str, key: Option<&str>) -> bool {
        let partition =
            self.index(topic, key).and_then(|index| self.topics.get(index.topic)?.partitions.get(index.partition));
        partition.is_none_or(|partition| partition.closed.is_none())
    }

    /// Counts a record that is about to be given to the producer. `None` if its partition is closed and already has
    /// enough probes.
    pub(in crate::kafka) fn hand_over(
        &mut self,
        (topic, key): (&str, Option<&str>),
        handle: EventHandle,
        bytes: usize,
        now: Duration,
    ) -> Option<PartitionIndex> {
        let index = match self.index(topic, key) {
            Some(index) => index,
            None => {
                let count = self.counts.get(topic).copied().unwrap_or(1).max(1);
                let partitions = std::iter::repeat_with(Partition::default).take(count).collect();
                self.topics.push(Topic { name: topic.to_owned(), partitions, shown: 0 });
                self.index(topic, key)?
            }
        };
        let partition = self.at(index)?;
        if let Some(closed) = partition.closed {
            let has_enough = match partition.outstanding.len() {
                0 => now.saturating_sub(closed.last_sign) < PROBE_PAUSE,
                probes => probes >= MAX_PROBES || partition.bytes + bytes > MAX_PROBE_BYTES,
            };
            if has_enough {
                return None;
            }
        }
        partition.outstanding.push_back(Outstanding { handle, since: now, bytes });
        partition.bytes += bytes;
        Some(index)
    }

    /// Removes a record whose delivery report has arrived.
    fn take(&mut self, index: PartitionIndex, handle: EventHandle) -> Option<&mut Partition> {
        let partition = self.at(index)?;
        // Reports nearly always arrive in the order of the records.
        let index = partition.outstanding.iter().position(|record| record.handle == handle);
        if let Some(record) = index.and_then(|index| partition.outstanding.remove(index)) {
            partition.bytes -= record.bytes;
        }
        Some(partition)
    }

    /// Records a confirmation. Returns true if it opens the partition.
    pub(in crate::kafka) fn confirmed(&mut self, index: PartitionIndex, handle: EventHandle, now: Duration) -> bool {
        self.last_success = Some(now);
        let Some(partition) = self.take(index, handle) else { return false };
        partition.last_success = Some(now);
        let is_opened = partition.closed.take().is_some();
        self.openings += u64::from(is_opened);
        is_opened
    }

    /// Records any other report. `failure` is given only if the report says something about the partition, which then
    /// is closed. Returns the events that wait for it: this one, and the others if it was open.
    pub(in crate::kafka) fn failed(
        &mut self,
        index: PartitionIndex,
        handle: EventHandle,
        failure: Option<FailureCode>,
        now: Duration,
    ) -> Vec<EventHandle> {
        let Some(partition) = self.take(index, handle) else { return Vec::new() };
        let Some(code) = failure else { return Vec::new() };
        let mut waiting = partition.close(Some(code), now);
        waiting.push(handle);
        waiting
    }

    /// Opens partitions that have a leader after an outage of the whole cluster, unless they reject records. The
    /// waiting time of their records starts over. Returns true if a partition was opened.
    pub(in crate::kafka) fn outage_ended(&mut self, with_leader: &[(String, usize)], now: Duration) -> bool {
        let before = self.openings;
        for (topic, index) in with_leader {
            let topic = self.topics.iter_mut().find(|known| known.name == *topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(*index));
            let Some(partition) = partition.filter(|partition| partition.only_waits()) else { continue };
            partition.closed = None;
            partition.outstanding.iter_mut().for_each(|record| record.since = now);
            self.openings += 1;
        }
        self.openings != before
    }

    /// Closes partitions whose records have waited for too long.
    pub(in crate::kafka) fn tick(&mut self, now: Duration) -> Changes {
        let mut changes = Changes::default();
        for topic in &mut self.topics {
            for partition in &mut topic.partitions {
                if partition.silence(now).is_some_and(|silence| silence >= SILENCE) {
                    changes.waiting.extend(partition.close(None, now));
                } else if let Some(closed) = partition.closed
                    && partition.outstanding.is_empty()
                    && now.saturating_sub(closed.last_sign) >= IDLE
                {
                    partition.closed = None;
                    changes.opened = true;
                    self.openings += 1;
                }
            }
            let closed = topic.partitions.iter().filter(|partition| partition.closed.is_some()).count();
            if std::mem::replace(&mut topic.shown, closed) != closed {
                changes.topics.push((topic.name.clone(), closed));
            }
        }
        changes
    }

    /// Returns closed partitions whose records wait or time out, but are not rejected.
    pub(in crate::kafka) fn silent(&self, now: Duration) -> Vec<Silent> {
        let silent = |topic: &Topic| {
            let silent = |(index, partition): (usize, &Partition)| {
                let waited = now.saturating_sub(partition.outstanding.front()?.since);
                partition.only_waits().then(|| Silent { topic: topic.name.clone(), partition: index, waited })
            };
            topic.partitions.iter().enumerate().filter_map(silent).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(silent).collect()
    }

    /// Returns two flags: any partition is closed, and all are.
    pub(in crate::kafka) fn closed(&self) -> (bool, bool) {
        let mut partitions = self.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.closed.is_some());
        let any = partitions.clone().any(|closed| closed);
        (any, any && partitions.all(|closed| closed))
    }

    /// Returns how many times partitions have opened.
    pub(in crate::kafka) const fn openings(&self) -> u64 {
        self.openings
    }

    /// Returns the topics that records were sent to.
    pub(in crate::kafka) fn topics(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.name.clone()).collect()
    }

    /// Returns the time of the last confirmation on any partition.
    pub(in crate::kafka) const fn last_success(&self) -> Option<Duration> {
        self.last_success
    }
}

impl Partition {
    /// Returns how long the oldest record has waited without a confirmation in between. `None` if there is no record.
    fn silence(&self, now: Duration) -> Option<Duration> {
        let since = self.outstanding.front()?.since;
        Some(now.saturating_sub(self.last_success.map_or(since, |success| success.max(since))))
    }

    /// Returns true if it is closed, and its records wait or time out, but are not rejected.
    fn only_waits(&self) -> bool {
        self.closed.is_some_and(|closed| closed.failure.is_none_or(|code| WAITING.contains(&code)))
    }

    /// Closes the partition. Returns the events that wait for it, if it was open.
    fn close(&mut self, failure: Option<FailureCode>, now: Duration) -> Vec<EventHandle> {
        let before = self.closed;
        let failure = failure.or(before.and_then(|closed| closed.failure));
        self.closed = Some(Closed { last_sign: now, failure });
        if before.is_some() {
            return Vec::new();
        }
        self.outstanding.iter().map(|record| record.handle).collect()
    }
}

#[cfg(test)]
#[path = "tests/partitions.rs"]
mod tests;
