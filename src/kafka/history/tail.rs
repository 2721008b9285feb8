//! Follows topics as they grow, for commands that show records.
//!
//! Partitions are assigned directly, without a consumer group, and no offset is committed, so following changes
//! nothing on the cluster and does not affect other consumers. The service itself must never depend on it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::ReadFault;
use super::partition_reader::PartitionReader;
use super::published_record::{Attributes, attributes};
use crate::kafka::client::connection_error::ConnectionError;
use crate::kafka::client::headers;
use crate::kafka::client::many_topics::partition_counts;
use crate::kafka::client::settings::Cluster;

/// Duration of one request, after which librdkafka's errors are checked.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval between two searches for new partitions and for missing topics.
const RESCAN: Duration = Duration::from_secs(30);
const RESCAN_MISSING: Duration = Duration::from_secs(2);
/// Timeout of a request for offsets.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// One record on a topic. Has no `Debug`, because it holds personal data.
#[derive(Clone)]
pub struct TopicRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Names and values in their order. A missing value is empty.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The value.
    pub value: Vec<u8>,
}

impl TopicRecord {
    /// Returns the event's id and its data as JSON, in either content mode. `None` if it is not a CloudEvent.
    pub(crate) fn event(&self) -> Option<(Cow<'_, str>, &[u8])> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let Attributes { id, data, .. } = attributes(headers, &self.value)?;
        Some((id, data))
    }

    /// Returns the first header of that name, if its value is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// The position to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// The oldest record of the topic.
    Oldest,
    /// The next record to be published.
    Now,
}

/// Follows topics. Waiting blocks.
pub struct TailReader {
    reader: PartitionReader,
    /// The number of followed partitions of each topic.
    followed: BTreeMap<String, usize>,
    scanned: Instant,
}

impl TailReader {
    /// Starts to follow. Every record that is published after this returns is read. A topic that does not exist yet
    /// is followed from its beginning once it is created.
    ///
    /// # Errors
    /// [`ReadFault`]; [`ReadFault::Unreachable`] if the cluster does not answer within `limit`.
    pub fn start(cluster: &Cluster, topics: &[String], begin: Begin, limit: Duration) -> Result<Self, ReadFault> {
        let properties = [
            ("auto.offset.reset", "earliest"),
            // Some brokers answer a fetch only after its wait time, even if records arrive in the meantime.
            ("fetch.wait.max.ms", "25"),
        ];
        let reader = PartitionReader::start(cluster, "follower", &properties).map_err(ReadFault::Settings)?;
        let followed = topics.iter().map(|topic| (topic.clone(), 0)).collect();
        let mut follower = Self { reader, followed, scanned: Instant::now() };
        let end = Instant::now() + limit;
        while !follower.scan(begin) {
            // Serves the error callback.
            let _ = follower.reader.poll(Duration::ZERO);
            if Instant::now() >= end || follower.reader.errors.is_decided() {
                return Err(ReadFault::Unreachable(follower.reader.errors.unreachable()));
            }
        }
        Ok(follower)
    }

    /// Returns the next record of any topic. `None` if none arrives within `limit`. For errors, temporary or not, see
    /// [`TailReader::errors`].
    pub fn next(&mut self, limit: Duration) -> Option<TopicRecord> {
        let end = Instant::now() + limit;
        loop {
            let rescan = if self.missing().is_empty() { RESCAN } else { RESCAN_MISSING };
            if self.scanned.elapsed() >= rescan {
                self.scan(Begin::Oldest);
            }
            match self.reader.poll(end.saturating_duration_since(Instant::now()).min(rescan)) {
                Some(Ok(message)) => return Some(topic_record(&message)),
                Some(Err(error)) => self.note(&error),
                None => {}
            }
            if Instant::now() >= end {
                return None;
            }
        }
    }

    /// Returns the sum of the next offsets of all followed partitions. Its increase is the number of records that were
    /// published. `None` if a broker does not answer.
    #[must_use]
    pub fn published(&self) -> Option<i64> {
        let partitions =
            self.followed.iter().flat_map(|(topic, count)| (0_i32..).take(*count).map(move |at| (topic, at)));
        let next = partitions
            .map(|(topic, partition)| self.reader.consumer.fetch_watermarks(topic, partition, OFFSETS_TIMEOUT));
        next.map(|watermarks| watermarks.ok().map(|(_, next)| next)).sum()
    }

    /// Returns the topics that do not exist, or cannot be described.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        self.followed.iter().filter(|(_, partitions)| **partitions == 0).map(|(topic, _)| topic.as_str()).collect()
    }

    /// Returns the distinct errors that librdkafka has reported.
    #[must_use]
    pub fn errors(&self) -> Vec<ConnectionError> {
        self.reader.errors.unreachable().errors
    }

    fn note(&self, error: &KafkaError) {
        if let Some(code) = error.rdkafka_error_code() {
            self.reader.errors.record(code, &error.to_string());
        }
    }

    /// Searches for partitions that are not followed yet. Returns true if all of them are followed now. If not, the
    /// next scan finds them again: right after a partition's creation, its leader can deny that it leads.
    fn scan(&mut self, begin: Begin) -> bool {
        self.scanned = Instant::now();
        let mut fresh = TopicPartitionList::new();
        let mut found = BTreeMap::new();
        let Ok(counts) = self.partition_counts() else { return false };
        for ((topic, followed), count) in self.followed.iter().zip(counts) {
            for partition in *followed..count {
                fresh.add_partition(topic, i32::try_from(partition).unwrap_or(i32::MAX));
            }
            found.insert(topic.clone(), count.max(*followed));
        }
        let all = fresh.count() == 0 || self.follow(fresh, begin);
        if all {
            self.followed = found;
        }
        all
    }

    /// Returns the number of partitions of each topic, in the order of `followed`.
    fn partition_counts(&self) -> KafkaResult<Vec<usize>> {
        let names: Vec<_> = self.followed.keys().map(String::as_str).collect();
        let fetch = |topic: Option<&str>| self.reader.consumer.fetch_metadata(topic, POLL_TIMEOUT);
        partition_counts(&names, fetch)
    }

    fn follow(&self, mut fresh: TopicPartitionList, begin: Begin) -> bool {
        let offset = match begin {
            Begin::Oldest => Offset::Beginning,
            Begin::Now => Offset::End,
        };
        if fresh.set_all_offsets(offset).is_err() {
            return false;
        }
        let offsets = match begin {
            Begin::Oldest => Ok(fresh),
            // "The end" as of now, not as of the first fetch from the partition, because records in between must be
            // read.
            Begin::Now => {
                self.reader.consumer.offsets_for_times(fresh.clone(), OFFSETS_TIMEOUT).map(|ends| or_end(&fresh, &ends))
            }
        };
        offsets
            .and_then(|offsets| self.reader.consumer.incremental_assign(&offsets))
            .map_err(|error| self.note(&error))
            .is_ok()
    }
}

/// Returns the offsets that the brokers returned, and the end for partitions without one.
fn or_end(wanted: &TopicPartitionList, returned: &TopicPartitionList) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for element in wanted.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let offset = match returned.find_partition(topic, partition).map(|returned| returned.offset()) {
            Some(Offset::Offset(offset)) => Offset::Offset(offset),
            Some(Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_)) | None => {
                Offset::End
            }
        };
        // Fails only for partition numbers out of range.
        let _ = offsets.add_partition_offset(topic, partition, offset);
    }
    offsets
}

pub(super) fn topic_record(message: &BorrowedMessage<'_>) -> TopicRecord {
    TopicRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers::read(message, |headers| {
            headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
        }),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}
