//! Reads back what stands on a broker, real or mock, without a consumer group.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, Timestamp};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// After this long, a reader gives up and fails its test. No test should come near it.
const GIVE_UP: Duration = Duration::from_secs(60);

/// The same for topics that are written in transactions: one that was left open ends only after its timeout.
const COMMITTED_GIVE_UP: Duration = Duration::from_secs(240);

/// One record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    /// Name and value, in the record's order; a header without a value has an empty one.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) value: Vec<u8>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
    /// Whether the timestamp is the broker's, of when it took the record, and not the producer's.
    pub(crate) of_append: bool,
}

impl Seen {
    /// The first header of that name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// When a reader has read enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Everything that stood there when the reading began.
    HighWatermarks,
    /// That many records, waiting for those that are still to come.
    Count(usize),
}

/// Reads `topics` from their beginning, and returns the records sorted by topic, partition and offset.
pub(crate) fn consume_all(bootstrap_servers: &str, topics: &[&str], until: Until) -> Vec<Seen> {
    consume_all_as(ClientConfig::new().set("bootstrap.servers", bootstrap_servers), topics, until)
}

/// As [`consume_all`], with the client properties of `client` (a login, for instance).
pub(crate) fn consume_all_as(client: &ClientConfig, topics: &[&str], until: Until) -> Vec<Seen> {
    let mut seen = Vec::new();
    visit_all(client, topics, until, |record| seen.push(record));
    seen.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    seen
}

/// As [`consume_all_as`], and shows each record as it comes, so that they need not all be held: in order per partition.
pub(crate) fn visit_all(client: &ClientConfig, topics: &[&str], until: Until, mut visit: impl FnMut(Seen)) {
    let give_up = Instant::now() + GIVE_UP;
    let consumer: BaseConsumer = client
        .clone()
        // A group is required by the client and never used: partitions are assigned, offsets not committed.
        .set("group.id", "idaas-bridge-tests")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .unwrap();
    let ends = ends(&consumer, topics);
    let mut assignment = TopicPartitionList::new();
    for ((topic, partition), (low, high)) in &ends {
        if matches!(until, Until::Count(_)) || low < high {
            assignment.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();

    let mut open: HashMap<_, _> = ends
        .into_iter()
        .filter(|(_, (low, high))| low < high)
        .map(|(partition_key, (_, high))| (partition_key, high))
        .collect();
    let mut seen = 0;
    let enough = |seen: usize, open: &HashMap<(String, i32), i64>| match until {
        Until::HighWatermarks => open.is_empty(),
        Until::Count(count) => seen >= count,
    };
    while !enough(seen, &open) {
        assert!(Instant::now() < give_up, "{seen} records came, not {until:?}; unread: {open:?}");
        // Errors here pass (a broker that is away); what does not pass ends at the time limit.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let record = record(&message);
            let partition_key = (record.topic.clone(), record.partition);
            if open.get(&partition_key).is_some_and(|high| record.offset + 1 >= *high) {
                open.remove(&partition_key);
            }
            seen += 1;
            visit(record);
        }
    }
}

/// All records of a topic that a consumer with `isolation.level=read_committed` sees, by partition.
pub(crate) fn read_committed(bootstrap_servers: &str, topic: &str) -> BTreeMap<i32, Vec<Seen>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "idaas-bridge-tests")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .create()
        .unwrap();
    let partitions = retry(|| {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).map_err(|e| e.to_string())?;
        match metadata.topics().first().map_or(0, |topic| topic.partitions().len()) {
            0 => Err(format!("{topic} is not there")),
            count => Ok(i32::try_from(count).unwrap()),
        }
    });
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records: BTreeMap<i32, Vec<Seen>> = (0..partitions).map(|partition| (partition, Vec::new())).collect();
    let mut open: Vec<_> = (0..partitions).collect();
    let end = Instant::now() + COMMITTED_GIVE_UP;
    while !open.is_empty() {
        assert!(Instant::now() < end, "{topic}: the end of {open:?} was not reached");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => records.get_mut(&message.partition()).unwrap().push(record(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|known| *known != partition),
            Some(Err(_)) | None => {}
        }
    }
    records
}

/// The lowest and the next offset of each partition.
fn ends(consumer: &BaseConsumer, topics: &[&str]) -> HashMap<(String, i32), (i64, i64)> {
    let mut ends = HashMap::new();
    for topic in topics {
        let partitions = retry(|| {
            let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).map_err(|e| e.to_string())?;
            let topic = metadata.topics().first().ok_or("no such topic")?;
            match (topic.error(), topic.partitions().len()) {
                (None, count) if count > 0 => Ok(count),
                (error, _) => Err(format!("{}: {error:?}", topic.name())),
            }
        });
        for partition in 0..i32::try_from(partitions).unwrap() {
            let (low, high) = retry(|| {
                consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).map_err(|e| format!("{topic}: {e}"))
            });
            ends.insert(((*topic).to_owned(), partition), (low, high));
        }
    }
    ends
}

/// Repeats `attempt` until it succeeds; fails the test when it never does.
pub(crate) fn retry<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let give_up = Instant::now() + GIVE_UP;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < give_up, "gave up after {GIVE_UP:?}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The record in a message.
pub(crate) fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Seen {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
        value: message.payload().unwrap_or_default().to_vec(),
        timestamp: message.timestamp().to_millis(),
        of_append: matches!(message.timestamp(), Timestamp::LogAppendTime(_)),
    }
}

/// A client that says nothing about the brokers that a test takes away on purpose.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}
