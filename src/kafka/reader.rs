//! Reads our topics by partition and offset, for the memory of what became of events.
//!
//! Partitions are assigned, not shared out, and no offset is committed: reading changes nothing on the cluster. Nothing of a
//! record but what it says of its event gets out of here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::headers;
use super::producer::describe;
use super::scope::Scope;
use super::settings::Cluster;
use super::sighting::{Sighting, sight};
use super::trouble::{Away, Listener};

/// How long one question may take before what librdkafka complains of is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// The partitions of topics, each with an offset.
pub(super) type Places = BTreeMap<Arc<str>, BTreeMap<i32, i64>>;

/// What of the partitions is to be read.
pub(super) struct Spans {
    /// Where to begin in each.
    pub(super) begins: Places,
    /// The next offset of each: of what was there when they were asked for, nothing stands behind it.
    pub(super) ends: Places,
    /// Whether each partition could be asked for both.
    pub(super) all: bool,
}

/// How a reader fetches.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// As much as there is, as fast as it comes.
    Fast,
    /// Seldom: two requests a second and broker, or as soon as there is much.
    Easy,
}

impl Pace {
    const fn settings(self) -> [(&'static str, &'static str); 7] {
        match self {
            Self::Fast => [
                ("fetch.wait.max.ms", "10"),
                ("fetch.min.bytes", "1"),
                ("fetch.max.bytes", "4194304"),
                ("queued.max.messages.kbytes", "8192"),
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.error.backoff.ms", "50"),
                // Where retention was faster.
                ("auto.offset.reset", "earliest"),
            ],
            Self::Easy => [
                ("fetch.wait.max.ms", "500"),
                ("fetch.min.bytes", "262144"),
                ("fetch.max.bytes", "4194304"),
                ("queued.max.messages.kbytes", "8192"),
                ("fetch.queue.backoff.ms", "100"),
                ("fetch.error.backoff.ms", "500"),
                // A partition that has lost its end is not read from its beginning, which can be weeks ago.
                ("auto.offset.reset", "latest"),
            ],
        }
    }
}

/// Why topics cannot be read.
#[derive(Debug)]
pub enum TailFault {
    /// librdkafka refuses a property, in words that show no value.
    Settings(String),
    /// The cluster does not answer.
    Away(Away),
    /// This user may not read the topics: it needs READ and DESCRIBE on them.
    NotAllowed,
}

impl std::fmt::Display for TailFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Settings(words) => f.write_str(words),
            Self::Away(away) => write!(f, "{away}"),
            Self::NotAllowed => {
                f.write_str("the user of [kafka.properties] may not read the topics; give it READ on them")
            }
        }
    }
}

impl std::error::Error for TailFault {}

/// A record of one of our topics, and what it says; garbage says nothing.
pub(super) struct Seen {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) sighting: Option<Sighting>,
}

/// A consumer that reads where it is told to.
pub(super) struct Reader {
    consumer: BaseConsumer<Listener>,
    listener: Listener,
}

impl Reader {
    pub(super) fn new(cluster: &Cluster, pace: Pace) -> Result<Self, TailFault> {
        let mut settings = cluster.observer();
        settings
            // librdkafka wants the name of a group before it assigns anything. No group is joined.
            .set("group.id", "idaas-bridge-memory")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Others' transactions hide nothing of ours.
            .set("isolation.level", "read_uncommitted");
        for (name, value) in pace.settings() {
            settings.set(name, value);
        }
        let listener = Listener::default();
        let consumer = BaseConsumer::from_config_and_context(&settings, listener.clone())
            .map_err(|error| TailFault::Settings(describe(&error)))?;
        Ok(Self { consumer, listener })
    }

    /// The partitions of those topics that have a leader, and whether all have one. A topic that is not there has none.
    pub(super) fn partitions<'a>(
        &self,
        topics: impl Iterator<Item = &'a Arc<str>>,
        end: Instant,
    ) -> Result<(TopicPartitionList, bool), TailFault> {
        let (mut list, mut all) = (TopicPartitionList::new(), true);
        for topic in topics {
            let metadata = self.ask(end, |limit| self.consumer.fetch_metadata(Some(topic), limit))?;
            for found in metadata.topics().iter().filter(|found| found.name() == &**topic) {
                if found.error().map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    return Err(TailFault::NotAllowed);
                }
                for partition in found.partitions() {
                    if partition.leader() >= 0 {
                        list.add_partition(topic, partition.id());
                    } else {
                        all = false;
                    }
                }
            }
        }
        Ok((list, all))
    }

    /// Those of the partitions that `is_wanted`.
    pub(super) fn only(partitions: &TopicPartitionList, is_wanted: impl Fn(&str, i32) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for element in partitions.elements() {
            if is_wanted(element.topic(), element.partition()) {
                list.add_partition(element.topic(), element.partition());
            }
        }
        list
    }

    /// What was published since `time` (milliseconds since 1970), up to now.
    pub(super) fn since(&self, partitions: &TopicPartitionList, time: i64, end: Instant) -> Result<Spans, TailFault> {
        // The ends first: what comes between the questions stands behind them, and is read later.
        let (ends, all_ends) = self.offsets(partitions, Offset::End, end)?;
        let (young, all_begins) = self.offsets(partitions, Offset::Offset(time), end)?;
        let mut begins = ends.clone();
        for (topic, begins) in &mut begins {
            for (partition, begin) in begins {
                if let Some(young) = young.get(topic).and_then(|young| young.get(partition)) {
                    *begin = (*begin).min(*young);
                }
            }
        }
        Ok(Spans { begins, ends, all: all_begins && all_ends })
    }

    /// Where each partition stands, by a time, or at its end; only those that told an offset, and whether all did.
    fn offsets(&self, partitions: &TopicPartitionList, at: Offset, end: Instant) -> Result<(Places, bool), TailFault> {
        let mut places = Places::new();
        if partitions.count() == 0 {
            return Ok((places, true));
        }
        let mut wanted = partitions.clone();
        wanted.set_all_offsets(at).map_err(|error| self.away(&error))?;
        let told = self.ask(end, |limit| self.consumer.offsets_for_times(wanted.clone(), limit))?;
        let mut all = true;
        for element in told.elements() {
            match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => {
                    places.entry(Arc::from(element.topic())).or_default().insert(element.partition(), offset);
                }
                // The end, where no record is as young.
                (Ok(()), _) => {}
                (Err(_), _) => all = false,
            }
        }
        Ok((places, all))
    }

    /// Asks until there is an answer, the time is over, or it is clear that there will be none.
    fn ask<T>(&self, end: Instant, question: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T, TailFault> {
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let answer = question(rest.clamp(Duration::from_millis(1), GLANCE));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if rest.is_zero() || self.listener.is_decided() => return Err(self.away(&error)),
                Err(error) if refused(&error) => return Err(TailFault::NotAllowed),
                // Serves the error callback.
                Err(_) => drop(self.consumer.poll(Duration::ZERO)),
            }
        }
    }

    fn away(&self, error: &KafkaError) -> TailFault {
        let away = self.listener.away();
        if away.troubles.is_empty()
            && let Some(code) = error.rdkafka_error_code()
        {
            self.listener.hear(code, &error.to_string());
            return TailFault::Away(self.listener.away());
        }
        TailFault::Away(away)
    }

    /// Reads these partitions as well from now on, from there.
    pub(super) fn read(&self, places: &Places) -> Result<(), TailFault> {
        if places.values().all(BTreeMap::is_empty) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in places {
            for (partition, offset) in partitions {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                    .map_err(|error| self.away(&error))?;
            }
        }
        self.consumer.incremental_assign(&list).map_err(|error| self.away(&error))
    }

    /// The next record of a topic in `scope`. `None` where none comes within `limit`, or only an error that passes.
    pub(super) fn next(&self, scope: &Scope, limit: Duration) -> Result<Option<Seen>, TailFault> {
        match self.consumer.poll(limit) {
            None => Ok(None),
            Some(Ok(message)) => Ok(seen(scope, &message)),
            Some(Err(error)) if refused(&error) => Err(TailFault::NotAllowed),
            Some(Err(error)) => {
                tracing::debug!(target: "kafka", %error, "reading goes on");
                Ok(None)
            }
        }
    }

    /// Ends it. That takes a while, for which nobody need wait; where no thread is to be had, it takes place here.
    pub(super) fn end(self) {
        let _ = std::thread::Builder::new().name("reader's end".to_owned()).spawn(move || drop(self));
    }

    /// How far it has read, also past what is no record (marks of others' transactions).
    pub(super) fn positions(&self) -> Places {
        let mut places = Places::new();
        for element in self.consumer.position().iter().flat_map(TopicPartitionList::elements) {
            if let Offset::Offset(offset) = element.offset() {
                places.entry(Arc::from(element.topic())).or_default().insert(element.partition(), offset);
            }
        }
        places
    }
}

fn refused(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

fn seen(scope: &Scope, message: &BorrowedMessage<'_>) -> Option<Seen> {
    let (topic, entity) = scope.topic(message.topic())?;
    Some(Seen {
        topic: Arc::clone(topic),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
        sighting: headers::read(message, |headers| {
            sight(scope, entity, headers, message.payload().unwrap_or_default())
        }),
    })
}
