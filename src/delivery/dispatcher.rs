//! What the rest of the service may call; `executor` does the work.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use outbox::machine::Limits;
use outbox::{EventKey, LaneKey, Published, Recovered, WaitReason, WaitingHead};

use super::executor::Executor;
pub use super::publication::OwningApplication;
use super::request::WRITE_ALLOWANCE;
use super::ticker::tick;
use crate::diagnosis::Diagnosis;
use crate::journal::store::Opened;
use crate::journal::{Journal, JournalAdmin, Quarantined};
use crate::kafka::client::settings::Cluster;
use crate::kafka::producer::Producer;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;

/// Maximum number of events that are replayed at a time: enough for tens of thousands per second, and few enough that
/// a live event never waits for more than 10 ms behind them.
const MAX_REPLAYED_EVENTS: usize = 1024;

/// Maximum size of the events that are replayed at a time, in bytes. A start must not need more memory than normal
/// operation.
const MAX_REPLAYED_BYTES: usize = 32 << 20;

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

    /// Handles the end of an outage of the whole cluster, with the topics and indexes of partitions that have a leader.
    /// To be called before [`Dispatcher::set_may_publish`]: what waited for these partitions is published then.
    pub fn outage_ended(&self, with_leader: &[(String, usize)]) {
        if let Some(producer) = &*self.executor.producer.load() {
            producer.outage_ended(with_leader);
        }
    }

    /// Notes whether Kafka is available. This only decides which reason operators see while nothing may be published.
    pub fn set_kafka_available(&self, is_available: bool) {
        self.executor.outbox.lock().set_kafka_available(is_available);
    }

    /// Notes whether events may be published: Kafka is available, and the other replicas have been asked.
    pub fn set_may_publish(&self, may_publish: bool) {
        self.executor.step(|outbox, _| outbox.set_may_publish(may_publish));
    }

    /// Returns true if events may be published: Kafka is available, and the other replicas have been asked.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.executor.outbox.lock().may_publish()
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
    pub fn set_owners(&self, owners: impl IntoIterator<Item = Arc<OwningApplication>>) {
        let owners: HashMap<_, _> = owners.into_iter().map(|owner| (owner.name.clone(), owner)).collect();
        self.executor.owners.store(Arc::new(owners));
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
