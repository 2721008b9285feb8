//! A producer of librdkafka with the thread that serves its log lines and delivery reports.
//!
//! It differs from rdkafka's `ThreadedProducer` in two ways. A thread that cannot be started is an error, not a panic.
//! And only one thread takes events from librdkafka's queue, so that they are handled in the order in which librdkafka
//! put them there: `confirmation_gate` relies on seeing the log line of a new connection before any delivery report
//! from it. So rdkafka's `flush` must not be called, because it takes events from the queue on the caller's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::error::{ProducerFault, describe};
use crate::telemetry::liveness::Liveness;

/// Maximum wait for an event before the thread checks whether to stop. rdkafka does not sleep in the last millisecond
/// of a wait, so short waits keep the processor busy.
const POLL_TIMEOUT: Duration = Duration::from_millis(300);

/// A producer and its thread. Dropping it stops both, which blocks; records without a report get a failure report.
pub(in crate::kafka) struct Polled<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Polled<C> {
    /// Starts a producer and its thread. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects a property, or no thread can be started.
    pub(in crate::kafka) fn start(
        settings: &ClientConfig,
        context: C,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, ProducerFault> {
        let producer = BaseProducer::from_config_and_context(settings, context)
            .map_err(|error| ProducerFault::settings(&describe(&error)))?;
        let producer = Arc::new(producer);
        let stop = Arc::new(AtomicBool::new(false));
        let alive = liveness.watch("producer polling");
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let poll = move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(POLL_TIMEOUT);
            }
            drop(alive);
        };
        match std::thread::Builder::new().name("producer polling".to_owned()).spawn(poll) {
            Ok(thread) => Ok(Self { producer, stop, thread: Some(thread) }),
            Err(error) => Err(ProducerFault::thread(&error)),
        }
    }

    pub(in crate::kafka) fn get(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Polled<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        // The polling thread never owns a `Polled`. If that ever changes, it must at least not wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}
