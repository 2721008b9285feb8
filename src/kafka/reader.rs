//! Reads what is published to some topics from now on, in every partition, without a consumer group of its own.
//!
//! For showing and checking only: it commits nothing, and gives nobody a guarantee.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::settings::Cluster;
use super::watch::Quiet;

/// How long the cluster may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// One record as a consumer gets it. Has no `Debug`: it holds personal data.
#[derive(Clone)]
pub struct Seen {
    /// Where it stands.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// The key; empty where there is none.
    pub key: String,
    /// Names and values, in the record's order.
    pub headers: Vec<(String, String)>,
    /// The value.
    pub value: Vec<u8>,
}

impl Seen {
    /// The value of a header; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Why nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderFault {
    /// These topics are not there.
    Missing(Vec<String>),
    /// The cluster does not answer, or the client refuses its settings.
    Away(String),
}

impl std::fmt::Display for ReaderFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(topics) => write!(f, "these topics are not there: {}", topics.join(", ")),
            Self::Away(why) => write!(f, "Kafka does not answer: {why}"),
        }
    }
}

impl std::error::Error for ReaderFault {}

/// A reader of all partitions of some topics. Can be shared between threads.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    start: TopicPartitionList,
}

impl Reader {
    /// A reader that begins behind the last record that is there now. Blocks.
    ///
    /// # Errors
    /// [`ReaderFault`] where a topic is missing or the cluster does not answer.
    pub fn from_now(cluster: &Cluster, topics: &[String]) -> Result<Self, ReaderFault> {
        let mut settings = cluster.observer();
        // A group is required by the client and never used: partitions are assigned, offsets not committed.
        settings.set("group.id", "idaas-bridge-reader").set("enable.auto.commit", "false");
        settings.set("fetch.wait.max.ms", "20");
        let away = |error: rdkafka::error::KafkaError| ReaderFault::Away(super::producer::describe(&error));
        let consumer = BaseConsumer::from_config_and_context(&settings, Quiet).map_err(away)?;
        let metadata = consumer.fetch_metadata(None, PATIENCE).map_err(away)?;
        let partitions = |topic: &String| {
            let known = metadata.topics().iter().find(|known| known.name() == topic && known.error().is_none());
            known.map_or(0, |known| known.partitions().len())
        };
        let missing: Vec<_> = topics.iter().filter(|topic| partitions(topic) == 0).cloned().collect();
        if !missing.is_empty() {
            return Err(ReaderFault::Missing(missing));
        }
        let mut start = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..i32::try_from(partitions(topic)).unwrap_or(i32::MAX) {
                let (_, next) = consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(away)?;
                start.add_partition_offset(topic, partition, Offset::Offset(next)).map_err(away)?;
            }
        }
        consumer.assign(&start).map_err(away)?;
        Ok(Self { consumer, start })
    }

    /// The next record, waiting at most `limit` for it. A broker that is away for a while is waited for as well.
    #[must_use]
    pub fn next(&self, limit: Duration) -> Option<Seen> {
        self.consumer.poll(limit)?.ok().map(|message| seen(&message))
    }

    /// How many records were published to the topics since this reader began. Blocks.
    ///
    /// # Errors
    /// [`ReaderFault::Away`].
    pub fn published(&self) -> Result<usize, ReaderFault> {
        let mut published = 0;
        for place in self.start.elements() {
            let end = self.consumer.fetch_watermarks(place.topic(), place.partition(), PATIENCE);
            let (_, end) = end.map_err(|error| ReaderFault::Away(super::producer::describe(&error)))?;
            let began = place.offset().to_raw().unwrap_or_default();
            published += usize::try_from(end - began).unwrap_or_default();
        }
        Ok(published)
    }
}

fn seen(message: &BorrowedMessage<'_>) -> Seen {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect::<Vec<_>>());
    Seen {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: text(message.key()),
        headers: headers.unwrap_or_default(),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}
