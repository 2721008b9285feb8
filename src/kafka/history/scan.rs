//! Reads the existing records of topics once, for commands that search for a record.
//!
//! Joins no group and commits nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use super::ReadFault;
use super::partition_reader::{Offsets, PartitionReader};
use super::tail::{TopicRecord, topic_record};
use crate::kafka::client::settings::Cluster;

/// Maximum duration of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// Timeout for a topic's metadata, and of one request for it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_METADATA: Duration = Duration::from_millis(1000);

/// Timeout for a partition's first and next offset. Short once a leader has not answered.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);
const SHORT_LEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// The scan ends if no record arrives for this long although records are missing.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The range to read of each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// This many of the newest records.
    Newest(u32),
    /// All records with a timestamp since this time, in milliseconds since 1970.
    Since(i64),
}

/// The result of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The number of records read.
    pub records: u64,
    /// True if everything in the range was read. False if a partition could not be read, or the time was over.
    pub complete: bool,
    /// Topics that do not exist, or cannot be described.
    pub missing: Vec<String>,
}

/// Passes each record in the range to `each`, until that returns false. Records that are published in the meantime
/// are left out. Blocks for at most a little longer than `limit`.
///
/// # Errors
/// [`ReadFault`]; [`ReadFault::Unreachable`] if the cluster does not answer.
pub fn scan(
    cluster: &Cluster,
    topics: &[String],
    range: Range,
    limit: Duration,
    mut each: impl FnMut(TopicRecord) -> bool,
) -> Result<Scanned, ReadFault> {
    let end = Instant::now() + limit;
    let properties = [("auto.offset.reset", "earliest"), ("fetch.wait.max.ms", "25")];
    let reader = PartitionReader::start(cluster, "scan", &properties).map_err(ReadFault::Settings)?;
    let mut scanned = Scanned { complete: true, ..Scanned::default() };
    let (begins, mut ends) = offsets(&reader, topics, range, (end, &mut scanned))?;
    if reader.read(&begins).is_err() {
        return Err(ReadFault::Unreachable(reader.errors.unreachable()));
    }
    let mut last_progress = Instant::now();
    while !ends.is_empty() {
        if Instant::now() >= end || last_progress.elapsed() >= STALL_TIMEOUT {
            scanned.complete = false;
            break;
        }
        match reader.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                let record = topic_record(&message);
                let key = (record.topic.clone(), record.partition);
                let Some(last) = ends.get(&key).copied() else { continue };
                if record.offset + 1 >= last {
                    ends.remove(&key);
                }
                if record.offset < last {
                    scanned.records += 1;
                    if !each(record) {
                        return Ok(scanned);
                    }
                }
                // Measured after `each`, which can block on its output.
                last_progress = Instant::now();
            }
            // The rest of a range can contain no records, only transaction markers and removed offsets.
            Some(Err(_)) | None => past_the_end(&reader, &mut ends),
        }
    }
    Ok(scanned)
}

/// Removes the partitions that have been read to their end.
fn past_the_end(reader: &PartitionReader, ends: &mut Ends) {
    for (topic, positions) in reader.positions() {
        for (partition, next) in positions {
            let key = ((*topic).to_owned(), partition);
            if ends.get(&key).is_some_and(|last| next >= *last) {
                ends.remove(&key);
            }
        }
    }
}

/// Returns the metadata of a topic. Fails early if it is certain that no broker answers.
fn metadata(reader: &PartitionReader, topic: &str, end: Instant) -> Result<Metadata, ReadFault> {
    let end = end.min(Instant::now() + METADATA_TIMEOUT);
    loop {
        if let Ok(metadata) = reader.consumer.fetch_metadata(Some(topic), POLL_METADATA) {
            return Ok(metadata);
        }
        // Serves the error callback.
        let _ = reader.poll(Duration::ZERO);
        if Instant::now() >= end || reader.errors.is_decided() {
            return Err(ReadFault::Unreachable(reader.errors.unreachable()));
        }
    }
}

type Ends = BTreeMap<(String, i32), i64>;

/// The first and the next offset of each partition.
type Watermarks = BTreeMap<(String, i32), (i64, i64)>;

/// A partition, and the address of its leader.
struct LedPartition {
    topic: String,
    partition: i32,
    leader: i32,
    address: String,
}

/// Returns the partitions that have a leader. Records missing topics and partitions in `scanned`.
fn led_partitions(
    reader: &PartitionReader,
    topics: &[String],
    (end, scanned): (Instant, &mut Scanned),
) -> Result<Vec<LedPartition>, ReadFault> {
    let mut partitions = Vec::new();
    for topic in topics {
        let metadata = metadata(reader, topic, end)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
            scanned.missing.push(topic.clone());
            continue;
        };
        for partition in found.partitions() {
            let leader = partition.leader();
            let Some(broker) = metadata.brokers().iter().find(|broker| broker.id() == leader) else {
                scanned.complete = false;
                continue;
            };
            let address = format!("{}:{}", broker.host(), broker.port());
            partitions.push(LedPartition { topic: topic.clone(), partition: partition.id(), leader, address });
        }
    }
    Ok(partitions)
}

/// Returns the first and the next offset of each partition whose leader answers. A leader that does not answer is
/// asked once.
fn watermarks(
    reader: &PartitionReader,
    partitions: &[LedPartition],
    (end, scanned): (Instant, &mut Scanned),
) -> Result<Watermarks, ReadFault> {
    let mut found = Watermarks::new();
    let mut silent = BTreeSet::new();
    for partition in partitions {
        let timeout = if silent.is_empty() { LEADER_TIMEOUT } else { SHORT_LEADER_TIMEOUT }.min(remaining(end));
        if silent.contains(&partition.leader) {
            continue;
        }
        match reader.consumer.fetch_watermarks(&partition.topic, partition.partition, timeout) {
            Ok(watermarks) => {
                found.insert((partition.topic.clone(), partition.partition), watermarks);
            }
            Err(error) => {
                tracing::debug!(target: "kafka", %error, topic = partition.topic, partition = partition.partition);
                if is_silence(&error) {
                    silent.insert(partition.leader);
                    let text = format!(
                        "broker {} advertises {}, and does not answer there",
                        partition.leader, partition.address
                    );
                    reader.errors.record(RDKafkaErrorCode::OperationTimedOut, &text);
                }
            }
        }
    }
    if found.is_empty() && !silent.is_empty() {
        return Err(ReadFault::Unreachable(reader.errors.unreachable()));
    }
    scanned.complete &= found.len() == partitions.len();
    Ok(found)
}

/// Returns true if an error means that a broker does not answer.
fn is_silence(error: &KafkaError) -> bool {
    const SILENCE: [RDKafkaErrorCode; 5] = [
        RDKafkaErrorCode::OperationTimedOut,
        RDKafkaErrorCode::RequestTimedOut,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::Resolve,
    ];
    error.rdkafka_error_code().is_some_and(|code| SILENCE.contains(&code))
}

fn remaining(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Returns the first offset to read and the next offset of each partition that has records in the range.
fn offsets(
    reader: &PartitionReader,
    topics: &[String],
    range: Range,
    (end, scanned): (Instant, &mut Scanned),
) -> Result<(Offsets, Ends), ReadFault> {
    let partitions = led_partitions(reader, topics, (end, &mut *scanned))?;
    let watermarks = watermarks(reader, &partitions, (end, scanned))?;
    let young = match range {
        Range::Newest(_) => None,
        // librdkafka rejects a request for no partitions.
        Range::Since(_) if watermarks.is_empty() => None,
        Range::Since(time) => {
            let mut times = TopicPartitionList::new();
            for (topic, partition) in watermarks.keys() {
                let _ = times.add_partition_offset(topic, *partition, Offset::Offset(time));
            }
            let found = reader.consumer.offsets_for_times(times, LEADER_TIMEOUT.min(remaining(end)));
            Some(found.map_err(|_| ReadFault::Unreachable(reader.errors.unreachable()))?)
        }
    };
    let (mut begins, mut ends) = (Offsets::new(), Ends::new());
    for ((topic, partition), (low, high)) in watermarks {
        let begin = match range {
            Range::Newest(count) => (high - i64::from(count)).max(low),
            Range::Since(_) => match young.as_ref().and_then(|young| young.find_partition(&topic, partition)) {
                Some(found) => match found.offset() {
                    Offset::Offset(offset) => offset,
                    // There is no record in the range.
                    Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => high,
                },
                None => low,
            },
        };
        if begin < high {
            begins.entry(Arc::from(topic.as_str())).or_default().insert(partition, begin);
            ends.insert((topic, partition), high);
        }
    }
    Ok((begins, ends))
}

#[cfg(test)]
#[path = "tests/scan.rs"]
mod tests;
