//! Finds the partitions of our topics and the offsets to read, in few requests: many applications have many topics,
//! and brokers can be far away.
//!
//! A broker that does not answer delays its own partitions only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::ReadFault;
use super::partition_reader::{Offsets, PartitionReader};
use crate::kafka::client::many_topics::{MAX_SINGLE_REQUESTS, singly};

/// Maximum time for a broker to return the offsets of all of its partitions.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval before a broker is asked again for missing offsets, for example after a change of leaders.
const OFFSETS_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A partition, and the broker that leads it.
pub(super) struct LedPartition {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    leader: i32,
}

/// The partitions of some topics. A topic that does not exist has none.
#[derive(Default)]
pub(super) struct Located {
    /// The partitions that have a leader.
    pub(super) led: Vec<LedPartition>,
    /// Topics that have a partition without a leader, or whose request failed.
    pub(super) unanswered: BTreeSet<Arc<str>>,
    /// Topics that this user may not describe.
    pub(super) denied: BTreeSet<Arc<str>>,
    /// Topics that do not exist.
    pub(super) missing: BTreeSet<Arc<str>>,
}

/// The range to read of each partition whose broker answers.
#[derive(Default)]
pub(super) struct OffsetRanges {
    /// The first offset of each partition.
    pub(super) begins: Offsets,
    /// The next offset of each partition: the end of the log when it was requested.
    pub(super) ends: Offsets,
}

impl Located {
    fn take(&mut self, topic: &Arc<str>, found: &MetadataTopic) {
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => drop(self.denied.insert(Arc::clone(topic))),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.missing.insert(Arc::clone(topic));
            }
            Some(_) => drop(self.unanswered.insert(Arc::clone(topic))),
        }
        for partition in found.partitions() {
            let leader = partition.leader();
            if leader >= 0 {
                self.led.push(LedPartition { topic: Arc::clone(topic), partition: partition.id(), leader });
            } else {
                self.unanswered.insert(Arc::clone(topic));
            }
        }
    }
}

impl PartitionReader {
    /// Finds the partitions of these topics.
    ///
    /// # Errors
    /// [`ReadFault`] if no topic could be requested.
    pub(super) fn locate(&self, topics: &[Arc<str>], end: Instant) -> Result<Located, ReadFault> {
        let mut located = Located::default();
        // The first answer also shows whether the cluster can be reached at all, and why not.
        let Some((first, rest)) = topics.split_first() else { return Ok(located) };
        if topics.len() <= MAX_SINGLE_REQUESTS {
            let metadata = self.ask(end, |limit| self.consumer.fetch_metadata(Some(first), limit))?;
            take_from(&metadata, first, &mut located);
            self.locate_singly(rest, end, &mut located);
            return Ok(located);
        }
        let metadata = self.ask(end, |limit| self.consumer.fetch_metadata(None, limit))?;
        let found: HashMap<_, _> = metadata.topics().iter().map(|found| (found.name(), found)).collect();
        let mut absent = Vec::new();
        for topic in topics {
            match found.get(&**topic) {
                Some(found) => located.take(topic, found),
                None => absent.push(Arc::clone(topic)),
            }
        }
        // A list of all topics omits those that do not exist and those that this user may not describe. Requesting
        // some of them shows the reason.
        let asked = absent.len().min(MAX_SINGLE_REQUESTS);
        located.missing.extend(absent.drain(asked..));
        self.locate_singly(&absent, end, &mut located);
        Ok(located)
    }

    /// Requests each topic, several at a time.
    fn locate_singly(&self, topics: &[Arc<str>], end: Instant, located: &mut Located) {
        let answers = singly(topics, |topic| {
            let limit = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.consumer.fetch_metadata(Some(topic), limit)
        });
        for (topic, answer) in answers {
            match answer {
                Ok(metadata) => take_from(&metadata, topic, located),
                Err(_) => drop(located.unanswered.insert(Arc::clone(topic))),
            }
        }
    }

    /// Returns the range to read in each of these partitions: records from `since` (milliseconds since 1970) up to
    /// now. Brokers are asked in parallel. The partitions of a broker that does not answer are left out.
    pub(super) fn offset_ranges(&self, led: &[LedPartition], since: i64, end: Instant) -> OffsetRanges {
        let end = end.min(Instant::now() + OFFSETS_TIMEOUT);
        let leaders: BTreeSet<i32> = led.iter().map(|led| led.leader).collect();
        let ranges = Mutex::new(OffsetRanges::default());
        std::thread::scope(|scope| {
            for leader in leaders {
                let (partitions, ranges) = (list(led.iter().filter(|led| led.leader == leader)), &ranges);
                let ask = move || self.offset_ranges_of(partitions, since, end, ranges);
                // Without a thread, its partitions are left out, and requested later.
                let _ = Builder::new().name("kafka offsets".to_owned()).spawn_scoped(scope, ask);
            }
        });
        ranges.into_inner()
    }

    /// Asks one broker.
    fn offset_ranges_of(&self, partitions: TopicPartitionList, since: i64, end: Instant, ranges: &Mutex<OffsetRanges>) {
        // The ends first: records that are published between the two requests are after them, and are read later.
        let ends = self.offsets(partitions.clone(), Offset::End, end);
        let young = self.offsets(partitions, Offset::Offset(since), end);
        let mut ranges = ranges.lock();
        for ((topic, partition), next) in ends {
            // No offset means that no record is that recent.
            let Some(begin) = young.get(&(Arc::clone(&topic), partition)) else { continue };
            let Some(next) = next else { continue };
            ranges.begins.entry(Arc::clone(&topic)).or_default().insert(partition, begin.unwrap_or(next).min(next));
            ranges.ends.entry(topic).or_default().insert(partition, next);
        }
    }

    /// Returns the offsets of a time, or of the end, for those partitions that are answered in time. `None` if no
    /// record is that recent.
    fn offsets(&self, partitions: TopicPartitionList, at: Offset, end: Instant) -> LogOffsets {
        let mut offsets = LogOffsets::new();
        let mut wanted = partitions;
        while wanted.count() > 0 && wanted.set_all_offsets(at).is_ok() {
            let limit = end.saturating_duration_since(Instant::now());
            if limit.is_zero() {
                break;
            }
            let Ok(answer) = self.consumer.offsets_for_times(wanted.clone(), limit) else { break };
            let mut again = TopicPartitionList::new();
            for element in answer.elements() {
                let partition = (Arc::from(element.topic()), element.partition());
                match (element.error(), element.offset()) {
                    (Ok(()), Offset::Offset(offset)) => drop(offsets.insert(partition, Some(offset))),
                    (Ok(()), _) => drop(offsets.insert(partition, None)),
                    (Err(_), _) => drop(again.add_partition(element.topic(), element.partition())),
                }
            }
            wanted = again;
            if wanted.count() > 0 {
                std::thread::sleep(OFFSETS_RETRY_INTERVAL.min(limit));
            }
        }
        offsets
    }
}

type LogOffsets = BTreeMap<(Arc<str>, i32), Option<i64>>;

fn take_from(metadata: &Metadata, topic: &Arc<str>, located: &mut Located) {
    for found in metadata.topics().iter().filter(|found| found.name() == &**topic) {
        located.take(topic, found);
    }
}

fn list<'a>(partitions: impl Iterator<Item = &'a LedPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for LedPartition { topic, partition, .. } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
