//! Reads a partition of a state topic up to its end.

use std::sync::Arc;
use std::time::Duration;

use idaas_state::Time;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::{Failed, LoggingContext, Partition, REQUEST_TIMEOUT};
use crate::kafka::admin::topics::state_topics::TopicPair;
use crate::kafka::client::headers;
use crate::kafka::client::settings::Cluster;

/// Timeout of a request for new metadata.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// A partition is read alone, so a large fetch does not delay others.
const SETTINGS: [(&str, &str); 6] = [
    ("auto.offset.reset", "earliest"),
    ("enable.partition.eof", "true"),
    ("fetch.wait.max.ms", "10"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.message.max.bytes", "4194304"),
    ("queued.max.messages.kbytes", "16384"),
];

/// The next item of a partition that is being restored.
pub enum RestoreStep {
    /// A committed record.
    Record {
        /// The entity's id.
        key: Vec<u8>,
        /// The state; `None` is a tombstone.
        value: Option<Vec<u8>>,
        /// `ce_time` of a tombstone.
        time: Option<Time>,
        /// The record's timestamp in milliseconds since 1970.
        timestamp: i64,
        /// Its offset.
        offset: i64,
    },
    /// Every record that was committed when the restore began has been read.
    End,
    /// Nothing arrived in time.
    Nothing,
}

/// Restores one partition at a time.
pub struct Restore {
    reader: BaseConsumer<LoggingContext>,
    /// Reads the end of the log, including uncommitted records.
    observer: BaseConsumer<LoggingContext>,
    pairs: Arc<[TopicPair]>,
}

impl Restore {
    /// Creates the clients. Sends nothing yet.
    ///
    /// # Errors
    /// [`Failed`] if librdkafka rejects a property.
    pub fn new(cluster: &Cluster, pairs: &Arc<[TopicPair]>) -> Result<Self, Failed> {
        let client = |isolation: &str| {
            let mut settings = cluster.partition_reader("state-restore");
            for (name, value) in SETTINGS {
                settings.set(name, value);
            }
            settings.set("isolation.level", isolation);
            BaseConsumer::from_config_and_context(&settings, LoggingContext::default())
                .map_err(|error| Failed::new("the restoring consumer cannot start", &error))
        };
        let (reader, observer) = (client("read_committed")?, client("read_uncommitted")?);
        Ok(Self { reader, observer, pairs: Arc::clone(pairs) })
    }

    /// Returns the end of a state partition, including records of undecided transactions.
    ///
    /// # Errors
    /// [`Failed`] if the leader does not answer in time.
    pub fn end(&self, partition: Partition) -> Result<i64, Failed> {
        self.watermark(&self.observer, partition)
    }

    /// Returns true if every transaction with records before `end` is decided.
    ///
    /// # Errors
    /// [`Failed`] if the leader does not answer in time.
    pub fn is_decided(&self, partition: Partition, end: i64) -> Result<bool, Failed> {
        Ok(self.watermark(&self.reader, partition)? >= end)
    }

    fn watermark(&self, client: &BaseConsumer<LoggingContext>, partition: Partition) -> Result<i64, Failed> {
        let topic = self.topic(partition);
        client.fetch_watermarks(topic, partition.number, REQUEST_TIMEOUT).map(|(_, end)| end).map_err(|error| {
            // A broker that has just started can return metadata without this partition, or with an old leader.
            // librdkafka would ask again only at the next regular refresh.
            let _ = client.fetch_metadata(Some(topic), REFRESH_TIMEOUT);
            Failed::new("the end offset of a state partition is unknown", &error)
        })
    }

    /// Starts to read a partition at an offset, and stops reading the previous one.
    ///
    /// # Errors
    /// [`Failed`] if librdkafka does not accept the assignment.
    pub fn begin(&self, partition: Partition, offset: i64) -> Result<(), Failed> {
        let failed = |error| Failed::new("the state partition cannot be read", &error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic(partition), partition.number, Offset::Offset(offset)).map_err(failed)?;
        self.reader.assign(&list).map_err(failed)
    }

    /// Stops reading.
    pub fn stop(&self) {
        if let Err(error) = self.reader.unassign() {
            tracing::debug!(target: "kafka", %error, "the restored partition stays assigned");
        }
    }

    /// Returns the next record of the partition.
    ///
    /// # Errors
    /// [`Failed`] if the client cannot continue.
    pub fn next(&self, limit: Duration) -> Result<RestoreStep, Failed> {
        match self.reader.poll(limit) {
            None => Ok(RestoreStep::Nothing),
            Some(Ok(message)) => Ok(step(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(RestoreStep::End),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(Failed::new("the restoring consumer failed", &error))
            }
            Some(Err(error)) => {
                tracing::debug!(target: "kafka", %error, "restoring continues");
                Ok(RestoreStep::Nothing)
            }
        }
    }

    fn topic(&self, partition: Partition) -> &str {
        self.pairs.get(partition.pair).map_or("", |pair| pair.states.as_str())
    }
}

fn step(message: &BorrowedMessage<'_>) -> RestoreStep {
    let value = message.payload().map(<[u8]>::to_vec);
    let read_time = || {
        headers::read(message, |headers| {
            let mut times = headers.filter(|(name, _)| *name == "ce_time");
            let text = times.next().and_then(|(_, value)| std::str::from_utf8(value).ok());
            text.and_then(Time::parse)
        })
    };
    RestoreStep::Record {
        key: message.key().unwrap_or_default().to_vec(),
        time: if value.is_none() { read_time() } else { None },
        value,
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
        offset: message.offset(),
    }
}
