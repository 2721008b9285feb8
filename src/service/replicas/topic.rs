//! The coordination topic: finds it, creates it if configured, and reads and writes it.

use std::time::{Duration, Instant};

use outbox::replicas::Offset;
use outbox::replicas::record::Record;

use crate::config::Config;
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topics::coordination_topic;
use crate::kafka::client::settings::Cluster;
use crate::kafka::replica_log::{Presence, Read, ReplicaLog};
use crate::telemetry::log_code::LogCode;

/// Maximum number of records per read.
const MAX_RECORDS: usize = 1000;

/// Time between checks for a topic that cannot be used: during [`CREATION_GRACE`], while somebody may be creating it,
/// and later.
const EARLY_CHECK_INTERVAL: Duration = Duration::from_millis(500);
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// How long after the start a missing topic is tolerated without a warning.
const CREATION_GRACE: Duration = Duration::from_secs(15);

/// Time before the next attempt to create a topic that the cluster rejected.
const CREATION_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Limit for one attempt to create the topic.
const CREATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit for writing the last record during the shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Topic {
    cluster: Cluster,
    name: String,
    /// The replication factor if topics are created by configuration; in `creates`, only until the topic exists.
    configured: Option<i32>,
    creates: Option<i32>,
    log: Option<ReplicaLog>,
    /// True while the topic is being read.
    reads: bool,
    /// True if the topic is known to be unusable.
    is_unusable: bool,
    is_warned: bool,
    /// True once it is logged that the cluster rejects the creation.
    is_rejection_logged: bool,
    started: Instant,
    next_observation: Instant,
    /// The offset to read up to before the topic counts as current.
    target: Option<i64>,
}

impl Topic {
    pub(super) fn new(config: &Config) -> Self {
        let configured = config.topics.create.then_some(config.topics.replication_factor);
        Self {
            cluster: crate::service::wiring::cluster(config),
            name: coordination_topic(&config.topics.prefix),
            configured,
            creates: configured,
            log: None,
            reads: false,
            is_unusable: false,
            is_warned: false,
            is_rejection_logged: false,
            started: Instant::now(),
            next_observation: Instant::now(),
            target: None,
        }
    }

    /// Makes the topic count as current only after it is read up to the end that it has then.
    pub(super) const fn expect_more(&mut self) {
        self.target = None;
    }

    /// Handles another cluster at the same address, which has a topic of its own.
    pub(super) fn start_over(&mut self) {
        (self.log, self.reads, self.is_unusable, self.target) = (None, false, false, None);
        (self.creates, self.next_observation) = (self.configured, Instant::now());
    }

    /// Reads the topic again with other settings.
    pub(super) fn replace_kafka_clients(&mut self, cluster: Cluster) {
        self.cluster = cluster;
        self.start_over();
    }

    /// Observes the topic if it is not being read and an observation is due. Returns false if it cannot be used.
    pub(super) fn observe(&mut self) -> bool {
        let now = Instant::now();
        if self.reads || now < self.next_observation {
            return true;
        }
        self.next_observation = now + EARLY_CHECK_INTERVAL;
        let Some(log) = self.log() else { return self.not_usable("librdkafka rejects the settings") };
        match log.presence() {
            Presence::Present => {
                if log.begin() {
                    (self.reads, self.is_unusable, self.target) = (true, false, None);
                }
                true
            }
            Presence::Missing if self.creates.is_some() => self.create(),
            Presence::Missing => {
                self.not_usable("the topic does not exist; create it with `idaas-bridge topics --create`")
            }
            Presence::Denied => {
                // librdkafka caches the denial; only a new client notices that access was granted.
                self.log = None;
                self.not_usable("the user of [kafka.properties] may not describe, read and write the topic")
            }
            Presence::Unknown => true,
        }
    }

    /// Creates the topic. A rejection is retried, because a cluster whose brokers are still starting rejects it at
    /// first.
    fn create(&mut self) -> bool {
        let Some(replication) = self.creates else { return true };
        let Ok(administrator) = Administrator::new(&self.cluster) else { return true };
        let topic = self.name.as_str();
        match administrator.create_coordination_topic(topic, replication, CREATION_TIMEOUT) {
            Ok(Creation::Created) => {
                tracing::info!(
                    code = LogCode::TopicCreated.as_str(),
                    topic,
                    partitions = 1,
                    replication_factor = replication,
                    "created the topic"
                );
            }
            Ok(Creation::AlreadyExists) => {}
            // A warning, because a single replica does not need the topic.
            Ok(Creation::Rejected { diagnosis, .. }) => {
                if !std::mem::replace(&mut self.is_rejection_logged, true) {
                    tracing::warn!(
                        code = LogCode::TopicNotCreated.as_str(),
                        topic,
                        "the topic was not created: {diagnosis}"
                    );
                }
                let usable = self.not_usable("the cluster rejects the creation of the topic");
                self.next_observation = self.next_observation.max(Instant::now() + CREATION_RETRY_INTERVAL);
                return usable;
            }
            Err(_) => return true,
        }
        // Created once only: an operator may delete the topic later.
        (self.creates, self.next_observation) = (None, Instant::now());
        true
    }

    fn log(&mut self) -> Option<&mut ReplicaLog> {
        if self.log.is_none() {
            self.log = ReplicaLog::new(&self.cluster, &self.name).ok();
        }
        self.log.as_mut()
    }

    fn not_usable(&mut self, reason: &str) -> bool {
        if self.started.elapsed() >= CREATION_GRACE {
            self.next_observation = Instant::now() + CHECK_INTERVAL;
            if !std::mem::replace(&mut self.is_warned, true) {
                tracing::warn!(
                    code = LogCode::ReplicasNotCoordinated.as_str(),
                    topic = self.name,
                    "several replicas would publish some events twice and out of order after an outage: {reason}"
                );
            }
        }
        (self.reads, self.is_unusable) = (false, true);
        false
    }

    /// Reads available records, waiting up to `wait` for the first. Returns false if the topic can no longer be used.
    pub(super) fn read(&mut self, wait: Duration, mut take: impl FnMut(&Record, Offset)) -> bool {
        let Some(log) = self.log.as_mut().filter(|_| self.reads) else {
            std::thread::sleep(wait);
            return true;
        };
        log.serve();
        let mut limit = wait;
        for _ in 0..MAX_RECORDS {
            match log.read(limit) {
                Read::Record(offset, value) => {
                    if let Some(record) = Record::from_json(&value) {
                        take(&record, offset);
                    }
                }
                Read::Nothing => break,
                Read::Unusable(_) => {
                    self.log = None;
                    return self.not_usable("the topic was deleted, or may no longer be read");
                }
            }
            limit = Duration::ZERO;
        }
        true
    }

    /// Determines the offset to read up to. Blocks until the broker answers.
    pub(super) fn set_target(&mut self) {
        if self.target.is_none()
            && let Some(log) = self.log.as_ref().filter(|_| self.reads)
        {
            self.target = log.end();
        }
    }

    /// Returns true if the topic is read as far as needed, or cannot be used.
    pub(super) fn is_current(&self) -> bool {
        let read = self.log.as_ref().map(ReplicaLog::next_position);
        self.is_unusable || (self.reads && self.target.is_some_and(|target| read >= Some(target)))
    }

    pub(super) fn write(&self, record: &Record) {
        if let Some(log) = self.log.as_ref().filter(|_| self.reads) {
            log.write(&record.to_json());
        }
    }

    /// Discards what has not been written yet.
    pub(super) fn purge(&self) {
        if let Some(log) = &self.log {
            log.purge();
        }
    }

    /// Waits until the last record is written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush(FLUSH_TIMEOUT);
        }
    }
}
