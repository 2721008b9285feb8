//! The outbox at work: requests hand their events over here and wait for the verdicts.
//!
//! It connects the machine to the producer and the journal, and adds nothing to what the machine says.

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
use crate::journal::store::Opened;
use crate::journal::{Journal, JournalAdmin, Quarantined};
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;
use crate::kafka::producer::Producer;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{CallbackTrace, Spans};

/// How many events are replayed at a time: enough for tens of thousands a second, and few enough that a live event
/// never queues behind more than a hundredth of a second of them.
const REPLAY: usize = 1024;

/// How many bytes of them at most: a start must never need more memory than normal operation.
const REPLAY_BYTES: usize = 32 << 20;

/// How long before its answer a delivery's unconfirmed events are written, so that the write is done in time.
const WRITE_ALLOWANCE: Millis = 1000;

/// Why nothing can be carried.
#[derive(Debug)]
pub enum StartFault {
    /// The journal gets no thread.
    Journal(std::io::Error),
    /// librdkafka does not take the settings.
    Producer(ProducerFault),
}

/// Carries events to the broker and verdicts back.
pub struct Dispatcher {
    pub(super) executor: Arc<Executor>,
}

impl Dispatcher {
    /// Starts the producer and connects it with the journal. To be called inside the runtime. At most so many events, with
    /// records of so many bytes, are in memory at once.
    ///
    /// # Errors
    /// What the producer says of its settings, or the system of the journal's thread.
    pub fn start(
        cluster: &Cluster,
        (events, bytes): (usize, usize),
        opened: Opened,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StartFault> {
        metrics.events_in_flight_limit.set(i64::try_from(events).unwrap_or(i64::MAX));
        let Opened { store, inventory, next, .. } = opened;
        let limits = Limits { events, bytes, replay: REPLAY, replay_bytes: REPLAY_BYTES };
        let executor = Arc::new(Executor::new(limits, metrics));
        let recovered = inventory.into_iter().map(|row| Recovered {
            seq: row.seq,
            key: row.key,
            lane: row.lane,
            event_time: row.event_time.unwrap_or(row.accepted_at),
            bytes: row.memory,
        });
        executor.outbox.lock().recover(recovered, next);
        let journal = Journal::start(store, Arc::clone(&executor) as _).map_err(StartFault::Journal)?;
        executor.journal.store(Some(Arc::new(journal)));
        let liveness = Arc::clone(&executor.metrics.liveness);
        let producer = Producer::start(cluster, Arc::clone(&executor) as _, &liveness).map_err(StartFault::Producer)?;
        executor.producer.store(Some(Arc::new(producer)));
        tokio::spawn(tick(Arc::downgrade(&executor), liveness.watch("outbox clock")));
        Ok(Arc::new(Self { executor }))
    }

    /// Publishes a callback's events and waits for their verdicts, at most until `deadline`.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if an event without an id was neither confirmed nor persisted. Nothing in an answer could
    /// ask for it, so the whole callback has to come again.
    pub async fn deliver(
        &self,
        events: Vec<PreparedEvent>,
        source: &Arc<EventSource>,
        deadline: tokio::time::Instant,
        trace: &CallbackTrace,
    ) -> Result<Vec<EventVerdict>, Refusal> {
        let mut batch = Batch::of(events, source);
        batch.start_spans(trace);
        if let Some(producer) = &*self.executor.producer.load() {
            batch.mark_unavailable_partitions(|record| !producer.accepts(&record.topic, record.key.as_deref()));
        }
        let (waiter, waiting) = oneshot::channel();
        let new_events = std::mem::take(&mut batch.new_events);
        let deadlines = self.deadlines(deadline);
        // Everything is handed over before the first wait, so a sender that hangs up stops nothing half-way.
        let (request_id, admitted) = self.executor.step(|outbox, _| outbox.admit(new_events, waiter, deadlines));
        batch.record_admissions(&admitted, source);
        let mut request = CancelOnDrop { executor: &self.executor, request_id, batch: Some(batch), source };
        // The machine answers each delivery by its deadline; without an answer nothing is promised.
        let verdicts = waiting.await.unwrap_or_else(|_| vec![Verdict::Overloaded; admitted.len()]);
        request.batch.take().map_or_else(|| Ok(Vec::new()), |batch| batch.answer(&verdicts, source))
    }

    /// Traces callbacks and events from now on. A second call changes nothing.
    pub fn set_spans(&self, spans: Arc<Spans>) {
        // An error means that there are some.
        let _ = self.executor.spans.set(spans);
    }

    /// Creates spans. `None` if tracing is off.
    #[must_use]
    pub fn spans(&self) -> Option<&Arc<Spans>> {
        self.executor.spans.get()
    }

    /// Exports what spans there still are, for about a second at most.
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

    /// Says whether the broker is there.
    pub fn set_connected(&self, connected: bool) {
        self.executor.step(|outbox, _| outbox.connected(connected));
    }

    /// Whether the broker is there, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.executor.outbox.lock().is_connected()
    }

    /// Tells what the topics hold already.
    pub fn mark_published(&self, events: impl IntoIterator<Item = (EventKey, Published)>) {
        self.executor.step(|outbox, now| {
            events.into_iter().for_each(|(key, published)| outbox.mark_published(key, published, now))
        });
    }

    /// Another cluster answers at the same address: forgets what the old one has confirmed, and replays nothing before
    /// [`Dispatcher::enable_replay`].
    pub fn cluster_replaced(&self) {
        self.executor.step(|outbox, _| outbox.cluster_replaced());
    }

    /// How many events wait in each lane, of those that the producer does not have.
    #[must_use]
    pub fn waiting_by_lane(&self) -> HashMap<LaneKey, u32> {
        self.executor.outbox.lock().waiting_by_lane()
    }

    /// Withholds these lanes, because another replica publishes their events first; all others go on. What arrives for
    /// them meanwhile is journaled, and answered as not confirmed.
    pub fn hold_lanes(&self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.executor.step(|outbox, _| outbox.hold_lanes(lanes));
    }

    /// Up to `limit` lane heads that wait, with the reason; those that have failed first.
    #[must_use]
    pub fn waiting_heads(&self, limit: usize) -> Vec<WaitingHead> {
        self.executor.outbox.lock().waiting_heads(limit)
    }

    /// Lets what the journal holds be published: what stands in the topics is known by now, or cannot be known.
    pub fn enable_replay(&self) {
        self.executor.step(|outbox, _| outbox.enable_replay());
    }

    /// Answers operators who ask for the journal. `None` after the end.
    #[must_use]
    pub fn journal_admin(&self) -> Option<JournalAdmin> {
        Some(JournalAdmin::new(self.journal()?, Arc::clone(&self.executor) as _))
    }

    /// Puts other applications in place of those that are there.
    pub fn set_sources(&self, sources: impl IntoIterator<Item = Arc<EventSource>>) {
        let sources: HashMap<_, _> = sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        self.executor.sources.store(Arc::new(sources));
    }

    /// The journal, until [`Dispatcher::close`].
    #[must_use]
    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.executor.journal.load_full()
    }

    /// Keeps a callback until somebody can read it. Says whether it is durable.
    pub async fn quarantine(&self, callback: Quarantined) -> bool {
        let Some(journal) = self.journal() else { return false };
        matches!(journal.quarantine(callback).await, Ok(Ok(_)))
    }

    /// How many events have their content in memory.
    #[must_use]
    pub fn events_in_memory(&self) -> usize {
        self.executor.outbox.lock().events_in_memory()
    }

    /// How many lane heads wait for each reason, and how many events were confirmed from the journal since the start.
    #[must_use]
    pub fn waiting_by_reason(&self) -> (BTreeMap<WaitReason, usize>, u64) {
        let outbox = self.executor.outbox.lock();
        (outbox.waiting_heads_by_reason(), outbox.replayed_total())
    }

    /// Shows in the metrics what waits, and why.
    pub fn update_metrics(&self) {
        let (events_in_memory, heads, replayed) = {
            let outbox = self.executor.outbox.lock();
            (outbox.events_in_memory(), outbox.waiting_heads_by_reason(), outbox.replayed_total())
        };
        self.executor.metrics.events_in_flight.set(i64::try_from(events_in_memory).unwrap_or(i64::MAX));
        self.executor.metrics.journal.show_waiting(&heads, replayed);
    }

    /// Has everything that waits written, and answered as soon as it is.
    pub fn expire_deadlines(&self) {
        self.executor.step(|outbox, now| outbox.expire_deadlines(now + WRITE_ALLOWANCE));
    }

    /// Waits for reports, at most for `limit`. Says how many are still to come. Blocks.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> usize {
        self.executor.producer.load_full().map_or(0, |producer| producer.flush(limit))
    }

    /// How many events would be lost if the process ended now: neither confirmed nor durable.
    #[must_use]
    pub fn not_durable(&self) -> usize {
        self.executor.outbox.lock().not_durable().0
    }

    /// Writes what is not confirmed to the journal, and closes the journal and the producer, within `limit`. Returns how
    /// many events are neither confirmed nor known to be kept then. Blocks.
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
            // What is left is counted below, with what was never handed over.
            let _ = journal.close_within(until.saturating_duration_since(std::time::Instant::now()));
        }
        // After closing, because a slow disk may have finished meanwhile.
        self.not_durable()
    }
}

/// A request that waits for its verdicts. One that is dropped before, because its sender has reset the connection, is
/// forgotten by the outbox and counted as answered that nothing was confirmed: so what is received and what is answered
/// stay the same number.
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
            // Only counts: the sender is gone.
            let _ = batch.answer(&[], self.source);
        }
    }
}
