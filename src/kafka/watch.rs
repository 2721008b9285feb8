//! Watches whether the cluster answers, on a thread of its own, and passes librdkafka's log lines on.
//!
//! librdkafka's own connection states say little of whether a record would be taken; a metadata request does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::settings::Cluster;

/// How long the cluster may take to answer, and how long the watch rests between two questions.
const PATIENCE: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_secs(1);

/// The running watch; ends when dropped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching. `tell` is called at each change, and once at the start.
    ///
    /// # Errors
    /// The reason in words, where librdkafka refuses the settings or no thread can be had.
    pub fn start(cluster: &Cluster, topic: &str, tell: impl Fn(bool) + Send + 'static) -> Result<Self, String> {
        let client = BaseConsumer::from_config_and_context(&cluster.observer(), Quiet)
            .map_err(|error| super::producer::describe(&error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, topic) = (Arc::clone(&stop), topic.to_owned());
        let run = move || {
            let mut known = None;
            while !stopped.load(Ordering::Relaxed) {
                let available = client.fetch_metadata(Some(&topic), PATIENCE).is_ok();
                if known != Some(available) {
                    known = Some(available);
                    tell(available);
                }
                std::thread::park_timeout(REST);
            }
        };
        let thread = std::thread::Builder::new().name("kafka watch".to_owned()).spawn(run);
        Ok(Self { stop, thread: Some(thread.map_err(|error| error.to_string())?) })
    }
}

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

/// A context for clients whose trouble is told elsewhere.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason);
    }
}

impl ConsumerContext for Quiet {}

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
