//! Watches whether the cluster accepts records, on a thread of its own, and passes on librdkafka's log lines.
//!
//! librdkafka's connection states say little about whether a record would be accepted; a metadata request does. Only an
//! answer that names a leader counts: a cluster that has lost its quorum still answers, and accepts nothing.
//! `acceptance` decides what the answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::acceptance::Acceptance;
use super::breaker::Probe;
use crate::kafka::client::log;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::liveness::Liveness;

/// Timeout of a metadata request.
const METADATA_TIMEOUT: Duration = Duration::from_millis(500);

/// Interval between two requests for the cluster id, in addition to those after reconnects.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(10);

/// A notification of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The cluster answers, and names leaders.
    Available {
        /// The topics and indexes of all partitions that have a leader. Empty if they could not be read.
        with_leader: Vec<(String, usize)>,
    },
    /// No broker answers, or no partition has a leader.
    Unavailable {
        /// The advertised broker addresses, as far as they are known.
        brokers: Vec<String>,
    },
    /// The id of the cluster that answers. Sent when it is first known, and when it changes.
    Cluster(String),
}

/// A watch. Ends when dropped.
pub struct Watch {
    topics: Arc<ArcSwap<Vec<String>>>,
    begun: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching. `on_event` is called on the watch's thread at each change, and once as soon as the state is
    /// known: at the first successful probe, or when it is certain that Kafka is unavailable.
    ///
    /// Kafka is available if a partition of one of `topics` has a leader. A partition without a leader, or a missing
    /// topic, delays its own records only.
    ///
    /// # Errors
    /// The reason in words, if librdkafka rejects the settings or no thread can be started.
    pub fn prepare(
        cluster: &Cluster,
        topics: Vec<String>,
        liveness: &Arc<Liveness>,
        acceptance: Arc<Acceptance>,
        mut on_event: impl FnMut(WatchEvent) + Send + 'static,
    ) -> Result<Self, String> {
        let client = BaseConsumer::from_config_and_context(&cluster.observer(), Watcher::default())
            .map_err(|error| crate::kafka::client::error::describe(&error))?;
        let topics = Arc::new(ArcSwap::from_pointee(topics));
        let (begun, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (may_begin, stopped) = (Arc::clone(&begun), Arc::clone(&stop));
        let (watched, alive) = (Arc::clone(&topics), liveness.watch("kafka watch"));
        let run = move || {
            while !may_begin.load(Ordering::Relaxed) && !stopped.load(Ordering::Relaxed) {
                std::thread::park();
            }
            if stopped.load(Ordering::Relaxed) {
                // It never began, so the watch that is in use must continue to count.
                return drop(alive);
            }
            let (number, began) = (acceptance.watch_started(), Instant::now());
            let (mut answers, mut identity) = (LastAnswers::default(), Identity::default());
            while !stopped.load(Ordering::Relaxed) {
                let started = began.elapsed();
                let is_accepting = accepting(&client, &watched.load(), &mut answers);
                let all_down = client.context().all_down(is_accepting);
                let probe = Probe { started, ended: began.elapsed(), is_accepting, all_down };
                let ask = || client.client().fetch_cluster_id(Duration::ZERO);
                if let Some(id) = identity.changed(started, is_accepting, ask) {
                    on_event(WatchEvent::Cluster(id));
                }
                if let Some(available) = acceptance.record_probe(number, probe) {
                    on_event(if available {
                        WatchEvent::Available { with_leader: partitions_with_leader(&client) }
                    } else {
                        WatchEvent::Unavailable { brokers: answers.brokers.clone() }
                    });
                }
                std::thread::park_timeout(acceptance.probe_interval());
            }
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("kafka watch".to_owned()).spawn(run);
        Ok(Self { topics, begun, stop, thread: Some(thread.map_err(|error| error.to_string())?) })
    }

    /// Begins to watch.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Replaces the watched topics.
    pub fn set_topics(&self, topics: Vec<String>) {
        self.topics.store(Arc::new(topics));
    }
}

/// The id of the cluster. Requested rarely, because rdkafka never frees librdkafka's answer, some 30 bytes each time.
#[derive(Default)]
struct Identity {
    id: Option<String>,
    started: Option<Duration>,
    accepting: bool,
}

impl Identity {
    /// Returns the id if it has changed. A different cluster answers on new connections only, so the id is requested
    /// when the cluster starts to accept records, and every 10 s.
    fn changed(&mut self, now: Duration, accepting: bool, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let begins = accepting && !self.accepting;
        self.accepting = accepting;
        let due = self.started.is_none_or(|started| now.saturating_sub(started) >= IDENTITY_INTERVAL);
        if self.id.is_some() && !begins && !due {
            return None;
        }
        self.started = Some(now);
        let id = ask().filter(|id| self.id.as_ref() != Some(id))?;
        self.id = Some(id.clone());
        Some(id)
    }
}

/// The content of the last answers.
#[derive(Default)]
struct LastAnswers {
    /// A topic that had a leader in the last answer.
    led: Option<String>,
    /// The addresses that the brokers advertise.
    brokers: Vec<String>,
}

impl LastAnswers {
    /// Returns one of the topics that has a partition with a leader.
    fn note(&mut self, metadata: &Metadata, topics: &[String]) -> Option<String> {
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        let same = brokers.clone().eq(self.brokers.iter().cloned());
        if !same && !metadata.brokers().is_empty() {
            self.brokers = brokers.collect();
        }
        with_leader(metadata, topics)
    }
}

/// Returns true if a partition of one of the topics has a leader. In the normal case, this is one small request for the
/// topic that had a leader before; otherwise it is one request for all topics.
fn accepting(client: &BaseConsumer<Watcher>, topics: &[String], answers: &mut LastAnswers) -> bool {
    let first = answers.led.take().filter(|led| topics.contains(led)).or_else(|| topics.first().cloned());
    let mut found = None;
    if let Ok(metadata) = client.fetch_metadata(first.as_deref(), METADATA_TIMEOUT) {
        found = answers.note(&metadata, topics);
        if found.is_none() {
            let all = client.fetch_metadata(None, METADATA_TIMEOUT).ok();
            found = all.and_then(|metadata| answers.note(&metadata, topics));
        }
    }
    // Serves the error callback only: nothing is assigned.
    while client.poll(Duration::ZERO).is_some() {}
    answers.led = found;
    answers.led.is_some()
}

/// Returns the topics and indexes of all partitions that have a leader.
fn partitions_with_leader(client: &BaseConsumer<Watcher>) -> Vec<(String, usize)> {
    let Ok(metadata) = client.fetch_metadata(None, METADATA_TIMEOUT) else { return Vec::new() };
    let mut partitions = Vec::new();
    for topic in metadata.topics() {
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0);
        let ids = led.filter_map(|partition| usize::try_from(partition.id()).ok());
        partitions.extend(ids.map(|id| (topic.name().to_owned(), id)));
    }
    partitions
}

/// Returns one of the topics that has a partition with a leader.
fn with_leader(metadata: &Metadata, topics: &[String]) -> Option<String> {
    let ours = metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name()));
    let mut led = ours.filter(|topic| topic.partitions().iter().any(|partition| partition.leader() >= 0));
    led.next().map(|topic| topic.name().to_owned())
}

/// Records that the connections to all brokers are lost.
#[derive(Default)]
struct Watcher {
    all_down: AtomicBool,
}

impl Watcher {
    /// Returns true if all connections are down. A successful probe resets it.
    fn all_down(&self, is_accepting: bool) -> bool {
        if is_accepting {
            self.all_down.store(false, Ordering::Relaxed);
        }
        self.all_down.load(Ordering::Relaxed)
    }
}

impl ClientContext for Watcher {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.all_down.store(true, Ordering::Relaxed);
        }
    }
}

impl ConsumerContext for Watcher {}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in it has been logged.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::embedded::mock_cluster;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn cluster_id_is_requested_on_reconnect_and_every_10_s() {
        let mut identity = Identity::default();
        let mut started = 0;
        let mut changed = |at: u32, accepting, id: Option<&str>| {
            let answer = identity.changed(at * SECOND, accepting, || {
                started += 1;
                id.map(str::to_owned)
            });
            (answer, started)
        };
        assert_eq!(changed(0, false, None), (None, 1));
        assert_eq!(changed(1, true, Some("a")), (Some("a".to_owned()), 2));
        assert_eq!(changed(2, true, Some("a")), (None, 2), "nothing happened");
        assert_eq!(changed(3, false, Some("a")), (None, 2));
        assert_eq!(changed(4, true, Some("b")), (Some("b".to_owned()), 3), "it accepts records again");
        assert_eq!(changed(14, true, Some("c")), (Some("c".to_owned()), 4), "10 s have passed");
    }

    #[test]
    fn an_answering_cluster_is_reported_with_its_led_partitions() {
        let mock = mock_cluster(1).unwrap();
        mock.create_topic("idaas.user.v1", 3, 1).unwrap();
        mock.partition_leader("idaas.user.v1", 1, None).unwrap();
        let (sender, events) = std::sync::mpsc::channel();
        let (cluster, topics) = (Cluster::plain(&mock.bootstrap_servers()), vec!["idaas.user.v1".to_owned()]);
        let on_event = move |event| sender.send(event).unwrap_or_default();
        let watch = Watch::prepare(&cluster, topics, &Arc::default(), Arc::default(), on_event).unwrap();
        watch.begin();
        let mut events = std::iter::from_fn(|| events.recv_timeout(30 * SECOND).ok());
        let available = events.find_map(|event| match event {
            WatchEvent::Available { with_leader } => Some(with_leader),
            WatchEvent::Unavailable { .. } | WatchEvent::Cluster(_) => None,
        });
        assert_eq!(available.unwrap(), [("idaas.user.v1".to_owned(), 0), ("idaas.user.v1".to_owned(), 2)]);
    }
}
