//! Publishes records for commands, and waits for their confirmation. The service has its own producer, which never
//! waits.
//!
//! A record that is not confirmed is sent again with the same id until it is. It is given up only if the broker
//! rejects it in a request of its own.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::time::{sleep, timeout};

use super::record_error::RecordError;
use crate::kafka::client::connection_error::ErrorCollector;
use crate::kafka::client::error::{ProducerFault, describe};
use crate::kafka::client::settings::Cluster;
use idaas_callback::record::Record;
use outbox::FailureCode;

/// Interval after which a missing confirmation is reported to the caller.
const NOTICE_INTERVAL: Duration = Duration::from_secs(3);
/// Interval before failed records are sent again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The result of publishing a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The broker has confirmed the record with `acks=all`.
    Confirmed,
    /// The broker permanently rejects the record.
    Rejected(FailureCode),
}

/// The Kafka user may not write to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthorized;

/// Publishes records and waits for their confirmation.
pub struct Publisher {
    cluster: Cluster,
    producer: FutureProducer<ErrorCollector>,
    listener: ErrorCollector,
}

impl Publisher {
    /// Starts a producer with the settings of the service. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects a property.
    pub fn start(cluster: &Cluster) -> Result<Self, ProducerFault> {
        let listener = ErrorCollector::default();
        let producer = producer(cluster, &listener)?;
        Ok(Self { cluster: cluster.clone(), producer, listener })
    }

    /// Publishes records and returns the result of each. Waits without a time limit. Calls `waiting` every three
    /// seconds with the reason, as far as it is known.
    ///
    /// # Errors
    /// [`NotAuthorized`] if the user may not write. Some of the records may have been published.
    pub async fn publish(
        &mut self,
        records: &[Record],
        waiting: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<Published>, NotAuthorized> {
        let mut results: Vec<Option<Published>> = vec![None; records.len()];
        let mut alone = false;
        while results.contains(&None) {
            let open = results.iter().zip(records).enumerate().filter(|(_, (result, _))| result.is_none());
            // A record that was rejected in a batch may have been rejected because of another record.
            let batch: Vec<_> =
                open.map(|(index, (_, record))| (index, record)).take(if alone { 1 } else { usize::MAX }).collect();
            let mut retry = false;
            for (index, failure) in self.attempt(&batch, waiting).await {
                let result = results.get_mut(index);
                match (failure, result) {
                    (None, Some(result)) => *result = Some(Published::Confirmed),
                    (Some(RecordError::Retry(FailureCode::NotAuthorized)), _) => return Err(NotAuthorized),
                    (
                        Some(RecordError::Alone(FailureCode::Other) | RecordError::Retry(_) | RecordError::QueueFull),
                        _,
                    ) => retry = true,
                    (Some(RecordError::Alone(code)), Some(result)) if alone || batch.len() == 1 => {
                        *result = Some(Published::Rejected(code));
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
                Ok(delivery) => self.confirmed(delivery, waiting).await,
                Err(code) => Some(RecordError::of(code)),
            };
            results.push((index, failure));
        }
        results
    }

    fn send(&self, record: &Record) -> Result<DeliveryFuture, Option<RDKafkaErrorCode>> {
        let headers =
            record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |all, (key, value)| {
                all.insert(Header { key, value: Some(value.as_bytes()) })
            });
        let mut message: FutureRecord<'_, str, [u8]> = FutureRecord::to(&record.topic)
            .payload(record.value.as_slice())
            .timestamp(record.timestamp)
            .headers(headers);
        message.key = record.key.as_deref();
        self.producer.send_result(message).map_err(|(error, _)| error.rdkafka_error_code())
    }

    /// Returns the failure of a record. `None` if it is confirmed.
    async fn confirmed(
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
                Err(_) => waiting(self.listener.unreachable().to_string()),
            }
        }
    }

    /// Replaces a producer after a fatal error, because it can no longer publish.
    fn replace_if_fatal(&mut self) {
        use rdkafka::producer::Producer as _;
        if self.producer.client().fatal_error().is_some()
            && let Ok(producer) = producer(&self.cluster, &self.listener)
        {
            self.producer = producer;
        }
    }
}

fn producer(cluster: &Cluster, listener: &ErrorCollector) -> Result<FutureProducer<ErrorCollector>, ProducerFault> {
    let mut settings = cluster.producer();
    // The service needs this log to verify the cluster. Commands do not.
    settings.remove("debug");
    settings.set("statistics.interval.ms", "0");
    FutureProducer::from_config_and_context(&settings, listener.clone())
        .map_err(|error| ProducerFault::settings(&describe(&error)))
}
