//! Watches whether the cluster takes records, on a thread of its own, and passes librdkafka's log lines on.
//!
//! librdkafka's own connection states say little of whether a record would be taken; a metadata request does. Only one
//! that names a leader counts: a cluster that has lost its quorum still answers, and takes nothing. What the answers
//! amount to is decided in `breaker`, not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::breaker::{Breaker, Question};
use super::settings::Cluster;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The running watch; ends when dropped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching. `tell` is called on the watch's thread at each change, and once as soon as something is known:
    /// at the first good answer, or when it is sure that there is none.
    ///
    /// Kafka is available where a partition of one of `topics` has a leader. One that has none, or a topic that is
    /// missing, holds up its own records only.
    ///
    /// # Errors
    /// The reason in words, where librdkafka refuses the settings or no thread can be had.
    pub fn start(
        cluster: &Cluster,
        topics: Vec<String>,
        mut tell: impl FnMut(bool) + Send + 'static,
    ) -> Result<Self, String> {
        let client = BaseConsumer::from_config_and_context(&cluster.observer(), Watcher::default())
            .map_err(|error| super::producer::describe(&error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let began = Instant::now();
            let mut breaker = Breaker::default();
            while !stopped.load(Ordering::Relaxed) {
                let asked = began.elapsed();
                let takes = takes(&client, &topics);
                let all_down = client.context().all_down(takes);
                let question = Question { asked, ended: began.elapsed(), takes, all_down };
                if let Some(available) = breaker.take(question) {
                    tell(available);
                }
                std::thread::park_timeout(breaker.rest());
            }
        };
        let thread = std::thread::Builder::new().name("kafka watch".to_owned()).spawn(run);
        Ok(Self { stop, thread: Some(thread.map_err(|error| error.to_string())?) })
    }
}

/// Asks for the topics, one after the other until one has a leader: where all is well, that is a single question.
fn takes(client: &BaseConsumer<Watcher>, topics: &[String]) -> bool {
    let mut takes = false;
    for topic in topics {
        match client.fetch_metadata(Some(topic), PATIENCE) {
            Ok(metadata) if has_leader(&metadata) => {
                takes = true;
                break;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // Serves the error callback, and nothing else: nothing is assigned.
    while client.poll(Duration::ZERO).is_some() {}
    takes
}

fn has_leader(metadata: &Metadata) -> bool {
    metadata.topics().iter().flat_map(|topic| topic.partitions()).any(|partition| partition.leader() >= 0)
}

/// Remembers that the connections to all brokers are lost.
#[derive(Default)]
struct Watcher {
    all_down: AtomicBool,
}

impl Watcher {
    /// Whether they are; a good answer makes that a thing of the past.
    fn all_down(&self, takes: bool) -> bool {
        if takes {
            self.all_down.store(false, Ordering::Relaxed);
        }
        self.all_down.load(Ordering::Relaxed)
    }
}

impl ClientContext for Watcher {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason);
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
            // A panic in it has been told by its own message.
            let _ = thread.join();
        }
    }
}

/// Passes a line of librdkafka's log on. Its lines name brokers and errors, never properties.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(target: "kafka", facility, message);
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", facility, message),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", facility, message),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", facility, message),
    }
}
