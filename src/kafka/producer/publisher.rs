//! Publishes records for commands, and waits for their confirmation. The service has its own producer, which never
//! waits.
//!
//! The producer sends a record until it is confirmed, without a time limit, so that the broker recognizes a repetition.
//! A record that fails is published again, with the same id. It is given up only if the broker rejects it in a request
//! of its own. As in the service, a confirmation counts only once the connection that it can
//! have come over is verified (`confirmation_gate`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::cluster_check::FreshClient;
use super::confirmation_gate::{Change, ConfirmationGate, GateDecision};
use super::record_error::RecordError;
use crate::kafka::client::connection_error::ErrorCollector;
use crate::kafka::client::error::{ProducerFault, describe};
use crate::kafka::client::headers;
use crate::kafka::client::settings::Cluster;
use idaas_callback::record::Record;
use outbox::FailureCode;

/// Interval after which a missing confirmation is reported to the caller.
const NOTICE_INTERVAL: Duration = Duration::from_secs(3);
/// Interval before failed records are sent again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The wait before a broker that did not answer is asked again for its cluster id.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The result of publishing a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The broker has confirmed the record with `acks=all`.
    Confirmed,
    /// The broker permanently rejects the record.
    Rejected(FailureCode),
}

/// Why publishing cannot continue. Some of the records may have been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishFault {
    /// The Kafka user may not write to a topic.
    NotAuthorized,
    /// Another cluster answers at the same address. What was confirmed before is not on it.
    ClusterReplaced,
}

/// Publishes records and waits for their confirmation.
pub struct Publisher {
    cluster: Cluster,
    producer: FutureProducer<Context>,
    context: Context,
}

/// The producer's context. Collects connection errors, and closes the gate at each new connection.
#[derive(Clone)]
struct Context {
    errors: ErrorCollector,
    gate: Arc<ConfirmationGate<()>>,
}

/// Whether confirmations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verification {
    /// They count.
    Verified,
    /// They can have come from a broker that disappeared before it could be asked for its cluster id.
    Unverified,
    /// They come from another cluster.
    Foreign,
}

impl Publisher {
    /// Starts a producer with the settings of the service. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects a property.
    pub fn start(cluster: &Cluster) -> Result<Self, ProducerFault> {
        let context = Context { errors: ErrorCollector::default(), gate: Arc::new(ConfirmationGate::new()) };
        let producer = producer(cluster, &context)?;
        Ok(Self { cluster: cluster.clone(), producer, context })
    }

    /// Publishes records and returns the result of each. Waits without a time limit. Calls `waiting` every three
    /// seconds with the reason, as far as it is known.
    ///
    /// # Errors
    /// [`PublishFault`].
    pub async fn publish(
        &mut self,
        records: &[Record],
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<PublishOutcome>, PublishFault> {
        let mut results: Vec<Option<PublishOutcome>> = vec![None; records.len()];
        let mut alone = false;
        while results.contains(&None) {
            let open = results.iter().zip(records).enumerate().filter(|(_, (result, _))| result.is_none());
            // A record that was rejected in a batch may have been rejected because of another record.
            let batch: Vec<_> =
                open.map(|(index, (_, record))| (index, record)).take(if alone { 1 } else { usize::MAX }).collect();
            let mut retry = false;
            for (index, failure) in self.verify_results(self.attempt(&batch, waiting).await, waiting).await? {
                let result = results.get_mut(index);
                match (failure, result) {
                    (None, Some(result)) => *result = Some(PublishOutcome::Confirmed),
                    (Some(RecordError::Retry(FailureCode::NotAuthorized)), _) => {
                        return Err(PublishFault::NotAuthorized);
                    }
                    (
                        Some(RecordError::Alone(FailureCode::Other) | RecordError::Retry(_) | RecordError::QueueFull),
                        _,
                    ) => retry = true,
                    (Some(RecordError::Alone(code)), Some(result)) if alone || batch.len() == 1 => {
                        *result = Some(PublishOutcome::Rejected(code));
                    }
                    (Some(RecordError::Alone(_)), _) => alone = true,
                    (None, None) => {}
                }
            }
            if retry {
                self.replace_if_fatal();
                sleep(RETRY_INTERVAL).await;
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Sends each record once. Returns the failure of each that was not confirmed.
    async fn attempt(
        &self,
        batch: &[(usize, &Record)],
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Vec<(usize, Option<RecordError>)> {
        let sent: Vec<_> = batch.iter().map(|(index, record)| (*index, self.send(record))).collect();
        let mut results = Vec::with_capacity(sent.len());
        for (index, sent) in sent {
            let failure = match sent {
                Ok(delivery) => self.wait_for_confirmation(delivery, waiting).await,
                Err(code) => Some(RecordError::of(code)),
            };
            results.push((index, failure));
        }
        results
    }

    /// Lets confirmations count only if they come from the cluster that was published to before.
    async fn verify_results(
        &self,
        mut results: Vec<(usize, Option<RecordError>)>,
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<(usize, Option<RecordError>)>, PublishFault> {
        let is_any_confirmed = results.iter().any(|(_, failure)| failure.is_none());
        match if is_any_confirmed { self.verify(waiting).await } else { Verification::Verified } {
            Verification::Verified => {}
            Verification::Unverified => {
                let confirmed = results.iter_mut().filter(|(_, failure)| failure.is_none());
                confirmed.for_each(|(_, failure)| *failure = Some(RecordError::Retry(FailureCode::TimedOut)));
            }
            Verification::Foreign => return Err(PublishFault::ClusterReplaced),
        }
        Ok(results)
    }

    /// Asks the brokers of new connections for their cluster id, on another thread.
    async fn verify(&self, waiting: &(dyn Fn(String) + Send + Sync)) -> Verification {
        let gate = Arc::clone(&self.context.gate);
        match gate.pass(()) {
            GateDecision::Open(()) => return Verification::Verified,
            GateDecision::Foreign(()) => return Verification::Foreign,
            GateDecision::Pending => {}
        }
        let (result_sender, mut result) = oneshot::channel();
        let cluster = self.cluster.clone();
        let ask = move || {
            while !result_sender.is_closed() {
                if let Some(verification) = ask_brokers(&cluster, &gate) {
                    // The caller can have stopped waiting.
                    let _ = result_sender.send(verification);
                    return;
                }
                std::thread::sleep(CHECK_INTERVAL);
            }
        };
        if std::thread::Builder::new().name("kafka cluster check".to_owned()).spawn(ask).is_err() {
            return Verification::Unverified;
        }
        loop {
            match timeout(NOTICE_INTERVAL, &mut result).await {
                Ok(verification) => return verification.unwrap_or(Verification::Unverified),
                Err(_) => waiting(self.context.errors.unreachable().to_string()),
            }
        }
    }

    fn send(&self, record: &Record) -> Result<DeliveryFuture, Option<RDKafkaErrorCode>> {
        let headers = headers::of(record, None);
        let mut message: FutureRecord<'_, str, [u8]> = FutureRecord::to(&record.topic)
            .payload(record.value.as_slice())
            .timestamp(record.timestamp)
            .headers(headers);
        message.key = record.key.as_deref();
        self.producer.send_result(message).map_err(|(error, _)| error.rdkafka_error_code())
    }

    /// Returns the failure of a record. `None` if it is confirmed.
    async fn wait_for_confirmation(
        &self,
        delivery: DeliveryFuture,
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Option<RecordError> {
        let mut delivery = std::pin::pin!(delivery);
        loop {
            match timeout(NOTICE_INTERVAL, &mut delivery).await {
                Ok(Ok(Ok(_))) => return None,
                Ok(Ok(Err((error, _)))) => return Some(RecordError::of(error.rdkafka_error_code())),
                // The producer has been dropped.
                Ok(Err(_)) => return Some(RecordError::Retry(FailureCode::ProducerFailed)),
                Err(_) => waiting(self.context.errors.unreachable().to_string()),
            }
        }
    }

    /// Replaces a producer after a fatal error, because it can no longer publish.
    fn replace_if_fatal(&mut self) {
        use rdkafka::producer::Producer as _;
        if self.producer.client().fatal_error().is_some()
            && let Ok(producer) = producer(&self.cluster, &self.context)
        {
            self.producer = producer;
        }
    }
}

/// Asks the broker of each connection that is not verified, over a new connection. `None` if one does not answer.
fn ask_brokers(cluster: &Cluster, gate: &ConfirmationGate<()>) -> Option<Verification> {
    let (mut unverified, _) = gate.unverified();
    if unverified.is_empty() {
        // No connection was announced, so the bootstrap addresses are verified instead.
        unverified.push((cluster.bootstrap_servers.join(","), 0));
    }
    for (address, connection) in unverified {
        let id = FreshClient::new(cluster, &address).as_ref().and_then(FreshClient::cluster_id);
        match id {
            Some(id) if gate.expects(&id) => {
                if !gate.record_verified(&address, connection).is_empty() {
                    return Some(Verification::Verified);
                }
            }
            Some(_) => {
                gate.record_foreign();
                return Some(Verification::Foreign);
            }
            None => {
                if !gate.record_unreachable(&address, connection, Instant::now()).is_empty() {
                    return Some(Verification::Unverified);
                }
            }
        }
    }
    None
}

fn producer(cluster: &Cluster, context: &Context) -> Result<FutureProducer<Context>, ProducerFault> {
    let mut settings = cluster.producer();
    // A record that timed out may be in the topic, and sending it again would publish it twice. As long as the same
    // producer retries, the broker recognizes the record.
    settings.set("message.timeout.ms", "0").set("statistics.interval.ms", "0");
    FutureProducer::from_config_and_context(&settings, context.clone())
        .map_err(|error| ProducerFault::settings(&describe(&error)))
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "STATE"
            && let Some(change) = Change::parse(message)
        {
            // Verified with the next confirmation.
            let _ = self.gate.change(change, Instant::now());
        }
        // At this level, only lines about lost connections name a problem. The others are for the gate.
        if facility == "FAIL" || !matches!(level, RDKafkaLogLevel::Debug) {
            self.errors.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.error(error, reason);
    }
}
