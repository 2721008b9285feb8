//! The running outbox: callbacks hand their events over here and wait for the verdicts.
//!
//! Connects the state machine to the producer and the journal, and decides nothing itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use idaas_callback::{PreparedEvent, Refusal};
use outbox::machine::{Deadlines, Limits};
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, Millis, Published, Recovered, RequestId, WaitReason, WaitingHead};
use tokio::sync::oneshot;

use super::batch::Batch;
pub use super::batch::EventVerdict;
use super::executor::Executor;
pub use super::publication::EventSource;
use super::ticker::tick;
use crate::diagnosis::Diagnosis;
use crate::journal::store::Opened;
use crate::journal::{Journal, JournalAdmin, Quarantined};
use crate::kafka::client::settings::Cluster;
use crate::kafka::producer::Producer;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{CallbackTrace, Spans};

/// Maximum number of events that are replayed at a time: enough for tens of thousands per second, and few enough that
/// a live event never waits for more than 10 ms behind them.
const MAX_REPLAYED_EVENTS: usize = 1024;

/// Maximum size of the events that are replayed at a time, in bytes. A start must not need more memory than normal
/// operation.
const MAX_REPLAYED_BYTES: usize = 32 << 20;

/// How long before its answer the unconfirmed events of a request are written, so that the write completes in time.
const WRITE_ALLOWANCE: Millis = 1000;

/// Publishes events and returns their verdicts.
pub struct Dispatcher {
    pub(super) executor: Arc<Executor>,
}

impl Dispatcher {
    /// Starts the producer and the journal. Must be called inside the runtime. The pair limits how many events, and
    /// how many bytes of records, are in memory at once.
    ///
    /// # Errors
    /// Returns an error if librdkafka rejects the settings, or if a thread cannot be started.
    pub fn start(
        cluster: &Cluster,
        (events, bytes): (usize, usize),
        opened: Opened,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Diagnosis> {
        metrics.events_in_flight_limit.set(i64::try_from(events).unwrap_or(i64::MAX));
        let Opened { store, inventory, next, .. } = opened;
        let limits = Limits { events, bytes, replay: MAX_REPLAYED_EVENTS, replay_bytes: MAX_REPLAYED_BYTES };
        let executor = Arc::new(Executor::new(limits, metrics));
        let recovered = inventory.into_iter().map(|row| Recovered {
            seq: row.seq,
            key: row.key,
            lane: row.lane,
            event_time: row.event_time.unwrap_or(row.received_at),
            bytes: row.memory,
        });
        executor.outbox.lock().recover(recovered, next);
        let liveness = Arc::clone(&executor.metrics.liveness);
        let journal = Journal::start(store, Arc::clone(&executor) as _, &liveness).map_err(|error| {
            let problem = format!("the journal's thread cannot be started: {error}");
            Diagnosis::new(LogCode::NotStarted, problem, "raise the limits on threads and open files")
        })?;
        executor.journal.store(Some(Arc::new(journal)));
        let producer = Producer::start(cluster, Arc::clone(&executor) as _, &liveness)?;
        executor.producer.store(Some(Arc::new(producer)));
        tokio::spawn(tick(Arc::downgrade(&executor), liveness.watch("outbox clock")));
        Ok(Arc::new(Self { executor }))
    }

    /// Publishes a callback's events and waits for their verdicts, at most until `deadline`.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if an event without an id was neither confirmed nor persisted. The answer cannot list
    /// such an event, so IDaaS has to send the whole callback again.
    pub async fn deliver(
        &self,
        events: Vec<PreparedEvent>,
        source: &Arc<EventSource>,
        deadline: tokio::time::Instant,
        trace: &CallbackTrace,
    ) -> Result<Vec<EventVerdict>, Refusal> {
        let mut batch = Batch::of(events, source);
        batch.start_spans(trace);
        let recoveries = self.executor.recoveries();
        if let Some(producer) = &*self.executor.producer.load() {
            batch.mark_unavailable_partitions(|record| !producer.accepts(&record.topic, record.key.as_deref()));
        }
        let (waiter, waiting) = oneshot::channel();
        let new_events = std::mem::take(&mut batch.new_events);
        let deadlines = self.deadlines(deadline);
        // All events are handed over before the first wait, so a sender that disconnects stops nothing half-way.
        let (request_id, admitted) = self.executor.admit(new_events, recoveries, waiter, deadlines);
        batch.record_admissions(&admitted, source);
        let mut request = CancelOnDrop { executor: &self.executor, request_id, batch: Some(batch), source };
        // The outbox answers each request by its deadline. If it has ended, it has accepted nothing.
        let verdicts = waiting.await.unwrap_or_else(|_| vec![Verdict::Overloaded; admitted.len()]);
        request.batch.take().map_or_else(|| Ok(Vec::new()), |batch| batch.answer(&verdicts, source))
    }

    /// Enables tracing of callbacks and events. A second call changes nothing.
    pub fn set_spans(&self, spans: Arc<Spans>) {
        // The spans are already set.
        let _ = self.executor.spans.set(spans);
    }

    /// Returns the spans. `None` if tracing is off.
    #[must_use]
    pub fn spans(&self) -> Option<&Arc<Spans>> {
        self.executor.spans.get()
    }

    /// Exports the remaining spans, for at most about one second.
    pub async fn end_spans(&self) {
        if let Some(spans) = self.spans() {
            spans.end().await;
        }
    }

    pub(super) fn deadlines(&self, deadline: tokio::time::Instant) -> Deadlines {
        let now = self.executor.now();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now()).as_millis();
        let left = Millis::try_from(left).unwrap_or(Millis::MAX);
        Deadlines { write: now + left - WRITE_ALLOWANCE.min(left / 2), answer: now + left }
    }

    /// Handles the end of an outage of the whole cluster, with the topics and indexes of partitions that have a leader.
    /// To be called before [`Dispatcher::set_connected`]: what waited for these partitions is published then.
    pub fn outage_ended(&self, with_leader: &[(String, usize)]) {
        if let Some(producer) = &*self.executor.producer.load() {
            producer.outage_ended(with_leader);
        }
    }

    /// Notes whether the broker is available.
    pub fn set_connected(&self, connected: bool) {
        self.executor.step(|outbox, _| outbox.connected(connected));
    }

    /// Returns true if the broker is considered available.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.executor.outbox.lock().is_connected()
    }

    /// Notes which events are already in the topics.
    pub fn mark_published(&self, events: impl IntoIterator<Item = (EventKey, Published)>) {
        self.executor.step(|outbox, now| {
            events.into_iter().for_each(|(key, published)| outbox.mark_published(key, published, now))
        });
    }

    /// Handles another cluster at the same address: forgets what the old one has confirmed, and stops replay until
    /// [`Dispatcher::enable_replay`].
    pub fn cluster_replaced(&self) {
        self.executor.step(|outbox, _| outbox.cluster_replaced());
    }

    /// Counts the events that are not with the producer, by lane.
    #[must_use]
    pub fn waiting_by_lane(&self) -> HashMap<LaneKey, u32> {
        self.executor.outbox.lock().waiting_by_lane()
    }

    /// Withholds these lanes, because another replica publishes their events first. All other lanes continue. Events
    /// that arrive for a withheld lane are journaled and answered as not confirmed.
    pub fn hold_lanes(&self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.executor.step(|outbox, _| outbox.hold_lanes(lanes));
    }

    /// Returns up to `limit` waiting lane heads with their reasons. Heads that have failed come first.
    #[must_use]
    pub fn waiting_heads(&self, limit: usize) -> Vec<WaitingHead> {
        self.executor.outbox.lock().waiting_heads(limit)
    }

    /// Enables replay from the journal. To be called when the content of the topics is known, or cannot be determined.
    pub fn enable_replay(&self) {
        self.executor.step(|outbox, _| outbox.enable_replay());
    }

    /// Returns the operators' access to the journal. `None` after [`Dispatcher::close`].
    #[must_use]
    pub fn journal_admin(&self) -> Option<JournalAdmin> {
        Some(JournalAdmin::new(self.journal()?, Arc::clone(&self.executor) as _))
    }

    /// Replaces the configured applications.
    pub fn set_sources(&self, sources: impl IntoIterator<Item = Arc<EventSource>>) {
        let sources: HashMap<_, _> = sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        self.executor.sources.store(Arc::new(sources));
    }

    /// Returns the journal. `None` after [`Dispatcher::close`].
    #[must_use]
    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.executor.journal.load_full()
    }

    /// Stores a callback in the quarantine until it can be read. Returns true if it is durable.
    pub async fn quarantine(&self, callback: Quarantined) -> bool {
        let Some(journal) = self.journal() else { return false };
        matches!(journal.quarantine(callback).await, Ok(Ok(_)))
    }

    /// Returns how many publications are in memory.
    #[must_use]
    pub fn events_in_memory(&self) -> usize {
        self.executor.outbox.lock().events_in_memory()
    }

    /// Counts the waiting lane heads by reason, and the events that were confirmed from the journal since the start.
    #[must_use]
    pub fn waiting_by_reason(&self) -> (BTreeMap<WaitReason, usize>, u64) {
        let outbox = self.executor.outbox.lock();
        (outbox.waiting_heads_by_reason(), outbox.replayed_total())
    }

    /// Updates the metrics of waiting events.
    pub fn update_metrics(&self) {
        let (events_in_memory, heads, replayed) = {
            let outbox = self.executor.outbox.lock();
            (outbox.events_in_memory(), outbox.waiting_heads_by_reason(), outbox.replayed_total())
        };
        self.executor.metrics.events_in_flight.set(i64::try_from(events_in_memory).unwrap_or(i64::MAX));
        self.executor.metrics.journal.show_waiting(&heads, replayed);
    }

    /// Writes all waiting events to the journal at once, and answers them as soon as they are durable.
    pub fn expire_deadlines(&self) {
        self.executor.step(|outbox, now| outbox.expire_deadlines(now + WRITE_ALLOWANCE));
    }

    /// Waits for delivery reports, at most for `limit`. Returns how many are missing. Blocks.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> usize {
        self.executor.producer.load_full().map_or(0, |producer| producer.flush(limit))
    }

    /// Returns how many events would be lost if the process ended now: neither confirmed nor durable.
    #[must_use]
    pub fn not_durable(&self) -> usize {
        self.executor.outbox.lock().not_durable().0
    }

    /// Writes unconfirmed events to the journal, and closes the journal and the producer, within `limit`. Returns how
    /// many events are neither confirmed nor known to be durable. Blocks.
    #[must_use]
    pub fn close(&self, limit: Duration) -> usize {
        let until = std::time::Instant::now() + limit;
        self.expire_deadlines();
        while self.executor.outbox.lock().not_durable().1 > 0 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(producer) = self.executor.producer.swap(None) {
            Producer::close(producer);
        }
        if let Some(journal) = self.executor.journal.swap(None) {
            // The remaining events are counted below, with those that were never handed over.
            let _ = journal.close_within(until.saturating_duration_since(std::time::Instant::now()));
        }
        // After closing, because a slow disk may have finished in the meantime.
        self.not_durable()
    }
}

/// A request that waits for its verdicts. If it is dropped early, because the sender has reset the connection, the
/// outbox forgets it and its events are counted as answered without confirmation. So the numbers of received and of
/// answered events stay equal.
struct CancelOnDrop<'a> {
    executor: &'a Executor,
    request_id: RequestId,
    batch: Option<Batch>,
    source: &'a EventSource,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.executor.outbox.lock().cancel(self.request_id);
            // Only for the counts: the sender has disconnected.
            let _ = batch.answer(&[], self.source);
        }
    }
}
