//! The consumer group over the event topics.
//!
//! Partitions are assigned eagerly: each rebalance revokes all of them and assigns the new ones. That costs nothing,
//! because the working state stays on disk, and it makes fencing simple: the group's metadata is taken when partitions
//! are assigned, and stays valid until the next rebalance is served here. An instance that was paused still has the
//! metadata of its old generation, so the broker rejects its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use idaas_state::{Event, ReadError};
use parking_lot::Mutex;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{Failed, LoggingContext, Partition, REQUEST_TIMEOUT};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::client::headers;
use crate::kafka::client::settings::Cluster;

/// Defaults that the operator can override.
const DEFAULTS: [(&str, &str); 7] = [
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    ("max.poll.interval.ms", "300000"),
    ("queued.max.messages.kbytes", "8192"),
    // Once the queue is full, librdkafka would wait for a second before the next fetch.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
];

/// Properties that exactly-once processing depends on.
const GUARANTEES: [(&str, &str); 6] = [
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "range"),
    ("statistics.interval.ms", "5000"),
];

/// librdkafka's name for the state of a partition that is read.
const FETCHING: &str = "active";

/// Proof that this instance is a member of the group's current generation, until the next rebalance.
pub struct Membership(pub(super) ConsumerGroupMetadata);

#[cfg(test)]
impl Membership {
    /// The membership of a consumer that has not joined.
    pub(crate) fn of_nobody() -> Self {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new().set("group.id", "nobody").create().unwrap();
        Self(consumer.group_metadata().unwrap())
    }
}

/// One record of an event topic.
pub struct InputRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// The size of its value in bytes.
    pub size: usize,
    /// The event, or the reason why the record is not one.
    pub event: Result<Event, ReadError>,
}

/// The records that a partition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the first record.
    pub begin: i64,
    /// The offset after the last record that belongs to no undecided transaction.
    pub end: i64,
}

/// The result of a poll.
pub enum Polled {
    /// A record.
    Record(Box<InputRecord>),
    /// The group assigned these partitions. Nothing is read until [`Input::read_from`].
    Assigned(Vec<Partition>, Membership),
    /// The group took all partitions away.
    Revoked,
    /// Nothing arrived in time.
    Nothing,
    /// The client cannot continue.
    Failed(Failed),
}

/// A member of the consumer group.
pub struct Input {
    consumer: BaseConsumer<Group>,
    pairs: Arc<[TopicPair]>,
}

impl Input {
    /// Joins the group.
    ///
    /// # Errors
    /// [`Failed`] if librdkafka rejects a property.
    pub fn join(cluster: &Cluster, group_id: &str, pairs: &Arc<[TopicPair]>) -> Result<Self, Failed> {
        let mut settings = cluster.observer();
        for (name, value) in DEFAULTS {
            if settings.get(name).is_none() {
                settings.set(name, value);
            }
        }
        for (name, value) in GUARANTEES {
            settings.set(name, value);
        }
        settings.set("group.id", group_id);
        let group = Group { pairs: Arc::clone(pairs), ..Group::default() };
        let consumer = BaseConsumer::from_config_and_context(&settings, group)
            .map_err(|error| Failed::new("the consumer cannot start", &error))?;
        let topics: Vec<_> = pairs.iter().map(|pair| pair.events.as_str()).collect();
        consumer.subscribe(&topics).map_err(|error| Failed::new("the event topics cannot be subscribed to", &error))?;
        Ok(Self { consumer, pairs: Arc::clone(pairs) })
    }

    /// Returns the next record or change of the assignment.
    pub fn poll(&self, limit: Duration) -> Polled {
        if let Some(change) = self.change() {
            return change;
        }
        match self.consumer.poll(limit) {
            None => self.change().unwrap_or(Polled::Nothing),
            Some(Ok(message)) => {
                self.record(&message).map_or(Polled::Nothing, |record| Polled::Record(Box::new(record)))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Polled::Failed(Failed(format!("the consumer failed: {code}")))
            }
            Some(Err(error)) => {
                tracing::debug!(target: "kafka", %error, "reading continues");
                Polled::Nothing
            }
        }
    }

    /// Reads these partitions from these offsets on, and no others. `None` means the oldest record.
    ///
    /// # Errors
    /// [`Failed`] if librdkafka does not accept the assignment.
    pub fn read_from(&self, offsets: &BTreeMap<Partition, Option<i64>>) -> Result<(), Failed> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let offset = offset.map_or(Offset::Beginning, Offset::Offset);
            let Some(pair) = self.pairs.get(partition.pair) else { continue };
            list.add_partition_offset(&pair.events, partition.number, offset)
                .map_err(|error| Failed::new("an offset is not accepted", &error))?;
        }
        self.consumer.assign(&list).map_err(|error| Failed::new("the partitions cannot be read", &error))
    }

    /// Returns the offsets that the group has committed. `None` if there is none. Waits for undecided transactions.
    ///
    /// # Errors
    /// [`Failed`] if the coordinator does not answer in time.
    pub fn committed(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Option<i64>>, Failed> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if let Some(pair) = self.pairs.get(partition.pair) {
                list.add_partition(&pair.events, partition.number);
            }
        }
        let failed = |error| Failed::new("the group's offsets cannot be read", &error);
        let committed = self.consumer.committed_offsets(list, REQUEST_TIMEOUT).map_err(failed)?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(failed)?;
            let partition = partition_of(&self.pairs, element.topic(), element.partition());
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
            };
            offsets.extend(partition.map(|partition| (partition, offset)));
        }
        Ok(offsets)
    }

    /// Returns true if the group has revoked the partitions, even if that has not been polled yet.
    #[must_use]
    pub fn has_lost_assignment(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Returns the bounds of the partitions that are read, as of a few seconds ago. A partition is missing until its
    /// bounds are known.
    #[must_use]
    pub fn bounds(&self) -> BTreeMap<Partition, Bounds> {
        self.consumer.context().bounds.lock().clone()
    }

    fn change(&self) -> Option<Polled> {
        let mut changes = self.consumer.context().changes.lock();
        if changes.is_empty() { None } else { Some(changes.remove(0)) }
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Option<InputRecord> {
        let partition = partition_of(&self.pairs, message.topic(), message.partition())?;
        let entity = self.pairs.get(partition.pair)?.entity;
        let timestamp = message.timestamp().to_millis().unwrap_or_default();
        let value = message.payload().unwrap_or_default();
        // A record with a malformed header is not an event.
        let event = headers::read(message, |headers| Some(Event::read(entity, headers, value, timestamp)));
        let event = event.unwrap_or(Err(ReadError::Malformed));
        Some(InputRecord { partition, offset: message.offset(), timestamp, size: value.len(), event })
    }
}

fn partition_of(pairs: &[TopicPair], topic: &str, number: i32) -> Option<Partition> {
    pairs.iter().position(|pair| pair.events == topic).map(|pair| Partition { pair, number })
}

/// The consumer's context: collects rebalances, and the bounds of partitions from the statistics.
#[derive(Default)]
struct Group {
    pairs: Arc<[TopicPair]>,
    logging: LoggingContext,
    changes: Mutex<Vec<Polled>>,
    bounds: Mutex<BTreeMap<Partition, Bounds>>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut bounds = self.bounds.lock();
        // Partitions that are no longer read keep the values of an earlier time.
        bounds.clear();
        for (name, topic) in &statistics.topics {
            for (number, figures) in &topic.partitions {
                let is_known = figures.fetch_state == FETCHING && figures.ls_offset >= 0;
                let partition = partition_of(&self.pairs, name, *number).filter(|_| is_known);
                let (begin, end) = (figures.lo_offset.max(0), figures.ls_offset);
                bounds.extend(partition.map(|partition| (partition, Bounds { begin, end })));
            }
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.bounds.lock().clear();
        // Nothing is read until the state is restored. An empty assignment acknowledges the rebalance.
        let acknowledged = if assigned { consumer.assign(&TopicPartitionList::new()) } else { consumer.unassign() };
        if let Err(error) = acknowledged {
            self.changes.lock().push(Polled::Failed(Failed::new("the rebalance cannot be acknowledged", &error)));
            return;
        }
        // The broker does not check the metadata of a member that was removed in the meantime. The assignment is then
        // lost, and the order matters: only metadata that was taken before is valid.
        let membership = consumer.group_metadata().filter(|_| !consumer.assignment_lost());
        let change = match membership {
            Some(metadata) if assigned => {
                let elements = list.elements();
                let partitions =
                    elements.iter().filter_map(|at| partition_of(&self.pairs, at.topic(), at.partition())).collect();
                Polled::Assigned(partitions, Membership(metadata))
            }
            Some(_) | None => Polled::Revoked,
        };
        self.changes.lock().push(change);
    }
}
