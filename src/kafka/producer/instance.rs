//! One instance of librdkafka's producer: accepts records, and returns one report per record. Only the broker's
//! delivery report confirms a record. `supervisor` replaces the instance when it no longer works.
//!
//! A record stays in the producer for two minutes, regardless of IDaaS's answer. That keeps a short outage of the
//! cluster from causing duplicates. Nothing here may panic, because a panic would end librdkafka's thread, and no
//! further report would arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use idaas_callback::record::Record;
use outbox::{DeliveryReport, FailureCode};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::statistics::Statistics;

use super::cluster_check::Check;
use super::confirmation_gate::{Change, ConfirmationGate, GateDecision};
use super::delivery::{DeliveryTag, Position};
use super::health::Health;
use super::in_flight::{InFlight, InFlightRecord};
use super::record_error::RecordError;
use super::resend::{Resend, Resender};
use super::statistics::{epoch, producer_statistics};
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::headers;
use crate::kafka::client::log;
use crate::kafka::client::polled::Polled;
use crate::kafka::client::settings::Cluster;
use crate::kafka::client::timestamp::record_timestamp;
use crate::telemetry::liveness::Liveness;

/// One producer of librdkafka, and a second one for records that are sent alone. Dropping it closes both, which
/// blocks; records without a report get a failure report.
pub(super) struct ProducerInstance {
    // In this order, because closing the first two produces reports.
    inner: Polled<Context>,
    resender: Resender,
    state: LastReports,
}

/// On drop, reports the confirmations that can no longer be verified.
struct LastReports(Arc<InstanceState>);

/// State that an instance and its callbacks share. Owns no producer, so that a thread of librdkafka can never be a
/// producer's last owner.
pub(super) struct InstanceState {
    pub(super) in_flight: Arc<InFlight>,
    pub(super) health: Health,
    pub(super) gate: ConfirmationGate<PendingReport>,
    outstanding: AtomicUsize,
    checks: Sender<Check>,
}

/// A confirmation that waits until the cluster is verified.
pub(super) struct PendingReport {
    in_flight_record: Box<InFlightRecord>,
    topic: Box<str>,
    position: Position,
}

impl ProducerInstance {
    /// Starts a producer and its threads. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects a property, or no thread can be started.
    pub(super) fn start(
        cluster: &Cluster,
        in_flight: Arc<InFlight>,
        health: Health,
        checks: Sender<Check>,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, ProducerFault> {
        let settings = cluster.producer();
        let state = Arc::new(InstanceState {
            in_flight,
            health,
            gate: ConfirmationGate::new(),
            outstanding: AtomicUsize::new(0),
            checks,
        });
        let resender = Resender::start(settings.clone(), Arc::clone(&state), Arc::clone(liveness))?;
        let context = Context { state: Arc::clone(&state), resend: Some(resender.sender()) };
        let inner = Polled::start(&settings, context, liveness)?;
        Ok(Self { inner, resender, state: LastReports(state) })
    }

    /// Gives a record to the producer. Unless this fails, its report is passed to
    /// [`super::delivery::DeliveryObserver::report`], on another thread.
    ///
    /// # Errors
    /// [`DeliveryReport::QueueFull`] if the queue is full, [`DeliveryReport::NotSent`] if its partition does not accept
    /// records, [`DeliveryReport::Rejected`] if the record is larger than the producer accepts,
    /// [`DeliveryReport::Failed`] for everything else.
    pub(super) fn send(&self, record: &Record, tag: DeliveryTag) -> Result<(), DeliveryReport> {
        if self.state.0.gate.is_foreign() {
            return Err(DeliveryReport::Failed(FailureCode::ClusterReplaced));
        }
        let (handle, in_flight) = (tag.handle, &self.state.0.in_flight);
        let headers = headers::of(record, tag.span.as_ref().map(|span| span.traceparent()));
        let in_flight_record = Box::new(in_flight.hand_over(record, tag)?);
        let index = in_flight_record.index;
        let mut base_record: BaseRecord<'_, str, [u8], Box<InFlightRecord>> =
            BaseRecord::with_opaque_to(&record.topic, in_flight_record)
                .payload(record.value.as_slice())
                .timestamp(record_timestamp(record.timestamp))
                .headers(headers);
        base_record.key = record.key.as_deref();
        self.state.0.outstanding.fetch_add(1, Ordering::Relaxed);
        self.inner.get().send(base_record).map_err(|(error, _)| {
            let report = RecordError::of(error.rdkafka_error_code()).when_alone();
            self.state.0.health.report_error();
            in_flight.not_accepted(index, handle, report);
            self.state.0.outstanding.fetch_sub(1, Ordering::Release);
            report
        })
    }

    /// Returns the number of records without a report.
    pub(super) fn outstanding(&self) -> usize {
        self.state.0.outstanding.load(Ordering::Acquire)
    }

    /// Waits until every record has its report, or the time is over. Returns the number of records without one.
    pub(super) fn wait(&self, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        while self.outstanding() > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.outstanding()
    }

    /// Fails records without a request in flight. If `everything` is true, also fails records that a broker may be
    /// about to confirm.
    pub(super) fn purge(&self, everything: bool) {
        let what = PurgeConfig::default().queue();
        self.inner.get().purge(if everything { what.inflight() } else { what });
        self.resender.purge();
        if everything {
            self.state.0.release(self.state.0.gate.take_pending(), Some(FailureCode::ProducerReplaced));
        }
    }

    /// Returns librdkafka's fatal error, if there is one.
    pub(super) fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.state.0.health.clear_error();
        self.inner.get().client().fatal_error().map(|(code, _)| code)
    }

    /// Returns the number of this producer, and its health.
    pub(super) fn health(&self) -> &Health {
        &self.state.0.health
    }

    pub(super) const fn state(&self) -> &Arc<InstanceState> {
        &self.state.0
    }

    /// Requests the cluster's topics, which also opens the connections: otherwise the first record would wait half a
    /// second for them. `None` if the cluster does not answer in time.
    pub(super) fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        let metadata = self.inner.get().client().fetch_metadata(None, limit).ok()?;
        let topics = metadata.topics().iter();
        self.state
            .0
            .in_flight
            .set_partition_counts(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect());
        Some(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }
}

impl Drop for LastReports {
    fn drop(&mut self) {
        self.0.release(self.0.gate.record_foreign(), Some(FailureCode::ProducerReplaced));
    }
}

impl InstanceState {
    /// Handles the report of a record.
    pub(super) fn finish(
        &self,
        in_flight_record: InFlightRecord,
        topic: &str,
        report: DeliveryReport,
        position: Option<Position>,
    ) {
        self.in_flight.finish(in_flight_record, topic, report, position);
        self.outstanding.fetch_sub(1, Ordering::Release);
    }

    /// Reports confirmations that have waited in the gate: as confirmed, or as failed with `failure`.
    pub(super) fn release(&self, pending: Vec<PendingReport>, failure: Option<FailureCode>) {
        for PendingReport { in_flight_record, topic, position } in pending {
            match failure {
                None => self.finish(*in_flight_record, &topic, DeliveryReport::Confirmed, Some(position)),
                Some(code) => self.finish(*in_flight_record, &topic, DeliveryReport::Failed(code), None),
            }
        }
    }

    fn check(self: &Arc<Self>) {
        // Fails only after the checker has ended, during shutdown.
        let _ = self.checks.send(Check::Instance(Arc::clone(self)));
    }
}

/// librdkafka's callbacks.
pub(super) struct Context {
    pub(super) state: Arc<InstanceState>,
    /// `None` in the producer for records that are sent alone.
    pub(super) resend: Option<Sender<Resend>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "STATE"
            && let Some(change) = Change::parse(message)
            && self.state.gate.change(change, Instant::now())
        {
            self.state.check();
        }
        log::forward(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.state.health.epoch(epoch(&statistics));
        // A producer that only waits for its last reports does not have the current state.
        if self.state.health.is_current() {
            self.state.in_flight.observer.statistics(producer_statistics(&statistics));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state.health.report_error();
        // librdkafka also passes the same text to `log`.
        tracing::debug!(target: "kafka", %error, reason, "librdkafka reports an error");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<InFlightRecord>;

    fn delivery(&self, result: &DeliveryResult<'_>, in_flight_record: Box<InFlightRecord>) {
        let message = match result {
            Ok(message) => message,
            Err((error, message)) => return self.failed(error, message, in_flight_record),
        };
        let (state, topic) = (&self.state, message.topic());
        let position = Position { partition: message.partition(), offset: message.offset() };
        if !state.gate.is_shut() {
            return state.finish(*in_flight_record, topic, DeliveryReport::Confirmed, Some(position));
        }
        match state.gate.pass(PendingReport { in_flight_record, topic: topic.into(), position }) {
            GateDecision::Open(pending) => state.release(vec![pending], None),
            GateDecision::Pending => state.check(),
            GateDecision::Foreign(pending) => state.release(vec![pending], Some(FailureCode::ClusterReplaced)),
        }
    }
}

impl Context {
    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>, in_flight_record: Box<InFlightRecord>) {
        self.state.health.report_error();
        let failure = RecordError::of(error.rdkafka_error_code());
        let report = match (failure, &self.resend) {
            (RecordError::Alone(code), Some(resend)) => {
                let now = code == FailureCode::InvalidTimestamp;
                match resend.send(Resend::Record(Box::new(message.detach()), in_flight_record, now)) {
                    Ok(()) => return,
                    Err(back) => return self.not_resent(back.0, message.topic(), failure),
                }
            }
            (RecordError::Alone(_) | RecordError::Retry(_) | RecordError::QueueFull, None) => failure.when_alone(),
            (RecordError::Retry(_) | RecordError::QueueFull, Some(_)) => failure.when_batched(),
        };
        match report {
            DeliveryReport::Failed(code) | DeliveryReport::Rejected(code) => {
                self.state.in_flight.log.failed(code, &in_flight_record.tag, message.topic(), error);
            }
            DeliveryReport::Confirmed | DeliveryReport::QueueFull | DeliveryReport::NotSent(_) => {}
        }
        self.state.finish(*in_flight_record, message.topic(), report, None);
    }

    /// Handles a record that cannot be sent alone, because the thread for this has ended.
    fn not_resent(&self, back: Resend, topic: &str, failure: RecordError) {
        match back {
            Resend::Record(_, in_flight_record, _) => {
                self.state.finish(*in_flight_record, topic, failure.when_batched(), None)
            }
            Resend::Purge => {}
        }
    }
}
