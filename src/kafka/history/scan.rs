//! Reads records that are already in the topics, and then stops: for commands that search for a record.
//!
//! Joins no group and commits no offsets, like following.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use super::partition_reader::{Offsets, PartitionReader};
use super::tail::{FollowFault, TopicRecord, topic_record};
use crate::kafka::client::settings::Cluster;

/// How long one poll waits.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the cluster may take to locate a topic, and how long one request waits for it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_METADATA: Duration = Duration::from_millis(1000);

/// The range to read of each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The newest records, this many.
    Newest(u32),
    /// Everything since this time, in milliseconds since 1970, by the records' timestamps.
    Since(i64),
}

/// The result of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// How many records were read.
    pub records: u64,
    /// True if everything in the range was read. False if a partition could not be read, or the time was over.
    pub complete: bool,
    /// Topics that do not exist, or cannot be described.
    pub missing: Vec<String>,
}

/// Passes each record in the range to `each`, until that returns false. Records that are published in the meantime are
/// left out. Blocks, for at most a little longer than `limit`.
///
/// # Errors
/// [`FollowFault`]; [`FollowFault::Unreachable`] if the cluster does not answer.
pub fn scan(
    cluster: &Cluster,
    topics: &[String],
    range: Range,
    limit: Duration,
    mut each: impl FnMut(TopicRecord) -> bool,
) -> Result<Scanned, FollowFault> {
    let end = Instant::now() + limit;
    let properties = [("auto.offset.reset", "earliest"), ("fetch.wait.max.ms", "25")];
    let reader = PartitionReader::start(cluster, "scan", &properties).map_err(FollowFault::Settings)?;
    let mut scanned = Scanned { complete: true, ..Scanned::default() };
    let (begins, mut ends) = places(&reader, topics, range, (end, &mut scanned))?;
    if reader.read(&begins).is_err() {
        return Err(FollowFault::Unreachable(reader.errors.unreachable()));
    }
    while !ends.is_empty() {
        if Instant::now() >= end {
            scanned.complete = false;
            break;
        }
        match reader.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                let record = topic_record(&message);
                let place = (record.topic.clone(), record.partition);
                let Some(last) = ends.get(&place).copied() else { continue };
                if record.offset + 1 >= last {
                    ends.remove(&place);
                }
                if record.offset < last {
                    scanned.records += 1;
                    if !each(record) {
                        return Ok(scanned);
                    }
                }
            }
            // The rest may hold no records: transaction markers of others, and offsets that retention has removed.
            Some(Err(_)) | None => past_the_end(&reader, &mut ends),
        }
    }
    Ok(scanned)
}

/// Removes the partitions that have been read to their end.
fn past_the_end(reader: &PartitionReader, ends: &mut Ends) {
    for (topic, positions) in reader.positions() {
        for (partition, next) in positions {
            let place = ((*topic).to_owned(), partition);
            if ends.get(&place).is_some_and(|last| next >= *last) {
                ends.remove(&place);
            }
        }
    }
}

/// Locates a topic. Returns early if it is certain that no broker answers.
fn metadata(reader: &PartitionReader, topic: &str, end: Instant) -> Result<Metadata, FollowFault> {
    let end = end.min(Instant::now() + METADATA_TIMEOUT);
    loop {
        if let Ok(metadata) = reader.consumer.fetch_metadata(Some(topic), POLL_METADATA) {
            return Ok(metadata);
        }
        // Serves the error callback.
        let _ = reader.poll(Duration::ZERO);
        if Instant::now() >= end || reader.errors.is_decided() {
            return Err(FollowFault::Unreachable(reader.errors.unreachable()));
        }
    }
}

type Ends = BTreeMap<(String, i32), i64>;

/// Returns the first offset of each partition that has anything in the range, and its next offset.
fn places(
    reader: &PartitionReader,
    topics: &[String],
    range: Range,
    (end, scanned): (Instant, &mut Scanned),
) -> Result<(Offsets, Ends), FollowFault> {
    let rest = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let unreachable = |_| FollowFault::Unreachable(reader.errors.unreachable());
    let mut times = TopicPartitionList::new();
    for topic in topics {
        let metadata = metadata(reader, topic, end)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        match found {
            Some(found) if !found.partitions().is_empty() => {
                found.partitions().iter().for_each(|partition| {
                    times.add_partition(topic, partition.id());
                });
            }
            Some(_) | None => scanned.missing.push(topic.clone()),
        }
    }
    let young = match range {
        Range::Newest(_) => None,
        Range::Since(time) => {
            let _ = times.set_all_offsets(Offset::Offset(time));
            Some(reader.consumer.offsets_for_times(times.clone(), rest()).map_err(unreachable)?)
        }
    };
    let (mut begins, mut ends) = (Offsets::new(), Ends::new());
    for element in times.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let Ok((low, high)) = reader.consumer.fetch_watermarks(topic, partition, rest()) else {
            scanned.complete = false;
            continue;
        };
        let begin = match range {
            Range::Newest(count) => (high - i64::from(count)).max(low),
            Range::Since(_) => match young.as_ref().and_then(|young| young.find_partition(topic, partition)) {
                Some(found) => match found.offset() {
                    Offset::Offset(offset) => offset,
                    // No record is that recent.
                    Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => high,
                },
                None => low,
            },
        };
        if begin < high {
            begins.entry(Arc::from(topic)).or_default().insert(partition, begin);
            ends.insert((topic.to_owned(), partition), high);
        }
    }
    Ok((begins, ends))
}
