//! Sends the records of a rejected batch again, each alone, so that a record that is too large does not fail the
//! other records of its batch. Runs on its own thread: neither a producer nor a thread may be started in librdkafka's
//! callbacks, where a failure could not be handled.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use outbox::{DeliveryReport, FailureCode};
use rdkafka::config::ClientConfig;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig};

use super::in_flight::InFlightRecord;
use super::instance::{Context, InstanceState};
use super::record_error::RecordError;
use crate::clock;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::polled::Polled;
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// After this many records the producer is replaced, because each rejection raises its epoch, which is a 16-bit
/// number.
const MAX_RECORDS: u32 = 10_000;

/// A message to the thread.
pub(super) enum Resend {
    /// Send this record alone, with the current time as its timestamp if the flag is set.
    Record(Box<OwnedMessage>, Box<InFlightRecord>, bool),
    /// Fail all records that have no report.
    Purge,
}

/// The thread. Dropping it stops the thread.
pub(super) struct Resender {
    sender: Option<Sender<Resend>>,
    thread: Option<JoinHandle<()>>,
}

impl Resender {
    /// Starts the thread. The producer is started when the first record needs it.
    ///
    /// # Errors
    /// [`ProducerFault`] if no thread can be started.
    pub(super) fn start(
        mut settings: ClientConfig,
        state: Arc<InstanceState>,
        liveness: Arc<Liveness>,
    ) -> Result<Self, ProducerFault> {
        settings.set("batch.num.messages", "1").set("statistics.interval.ms", "0");
        let (sender, receiver) = channel();
        let alive = liveness.watch("producer resend");
        let run = move || {
            Worker { settings, state, liveness, producer: None, records: 0 }.run(&receiver);
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("producer resend".to_owned()).spawn(run);
        let thread = thread.map_err(|error| ProducerFault::thread(&error))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(super) fn sender(&self) -> Sender<Resend> {
        // The sender is `None` only during drop.
        self.sender.clone().unwrap_or_else(|| channel().0)
    }

    pub(super) fn purge(&self) {
        let _ = self.sender.as_ref().map(|sender| sender.send(Resend::Purge));
    }
}

impl Drop for Resender {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    settings: ClientConfig,
    state: Arc<InstanceState>,
    liveness: Arc<Liveness>,
    producer: Option<Polled<Context>>,
    records: u32,
}

impl Worker {
    fn run(mut self, receiver: &Receiver<Resend>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Resend::Record(record, in_flight_record, now) => self.send(&record, in_flight_record, now),
                Resend::Purge => {
                    if let Some(producer) = &self.producer {
                        producer.get().purge(PurgeConfig::default().queue().inflight());
                    }
                }
            }
        }
    }

    fn send(&mut self, message: &OwnedMessage, in_flight_record: Box<InFlightRecord>, with_current_time: bool) {
        let topic = message.topic();
        let Some(producer) = self.producer() else {
            // Not a rejection, because the record was never sent alone.
            return self.state.finish(
                *in_flight_record,
                topic,
                DeliveryReport::Failed(FailureCode::ProducerFailed),
                None,
            );
        };
        let mut record: BaseRecord<'_, [u8], [u8], Box<InFlightRecord>> =
            BaseRecord::with_opaque_to(topic, in_flight_record).payload(message.payload().unwrap_or_default());
        record.key = message.key();
        record.timestamp = if with_current_time { Some(clock::now()) } else { message.timestamp().to_millis() };
        record.headers = message.headers().cloned();
        if let Err((error, record)) = producer.get().send(record) {
            let report = RecordError::of(error.rdkafka_error_code()).when_batched();
            self.state.finish(*record.delivery_opaque, topic, report, None);
        }
    }

    /// Returns the producer. If starting it fails, the next record tries again.
    fn producer(&mut self) -> Option<&Polled<Context>> {
        let fatal = self.producer.as_ref().is_some_and(|producer| producer.get().client().fatal_error().is_some());
        if fatal || self.records >= MAX_RECORDS {
            (self.producer, self.records) = (None, 0);
        }
        if self.producer.is_none() {
            let context = Context { state: Arc::clone(&self.state), resend: None };
            match Polled::start(&self.settings, context, &self.liveness) {
                Ok(producer) => self.producer = Some(producer),
                Err(fault) => {
                    tracing::error!(code = LogCode::ProducerNotStarted.as_str(), %fault, "records cannot be sent alone")
                }
            }
        }
        self.records += 1;
        self.producer.as_ref()
    }
}
