//! Connects the outbox to the producer and to the waiting requests, and counts what happens.
//!
//! The only place where a verdict becomes known to a request; it adds nothing to what the machine says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::verdict::Verdict;
use super::{Admitted, Arrival, DeliveryId, EventKey, Finished, Outbox, Report, Step};
use crate::kafka::producer::{Position, Producer, ProducerFault, Reports, Ticket};
use crate::kafka::settings::Cluster;
use crate::kafka::statistics::ProducerState;
use crate::prepare::policy::Policy;
use crate::prepare::record::Record;
use crate::prepare::{EventId, Item, Plan, Reason};
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::metrics::Metrics;

/// One event and its verdict, for the answer.
pub struct Answered {
    /// The eventId.
    pub event_id: String,
    /// What is answered.
    pub verdict: Verdict,
}

/// An event without an id was not confirmed. Nothing in an answer could ask for it, so the whole callback has to come
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswerable;

/// Carries events to the broker and verdicts back.
pub struct Dispatcher {
    shared: Arc<Shared>,
    producer: Producer,
}

type Waiter = oneshot::Sender<Vec<Verdict>>;

/// What the producer's reports need: all but the producer itself.
struct Shared {
    outbox: Mutex<Outbox<Waiter>>,
    /// Dead letters that follow from a refusal. A task sends them, because a report must not wait for the producer.
    letters: mpsc::UnboundedSender<(Ticket, Box<Record>)>,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Dispatcher {
    /// Starts the producer and connects it. To be called inside the runtime.
    ///
    /// # Errors
    /// What the producer says of its settings.
    pub fn start(cluster: &Cluster, limit: usize, metrics: Arc<Metrics>) -> Result<Arc<Self>, ProducerFault> {
        let (letters, mut waiting) = mpsc::unbounded_channel();
        let outbox = Mutex::new(Outbox::new(limit));
        metrics.events_in_flight_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        let shared = Arc::new(Shared { outbox, letters, metrics, started: Instant::now() });
        let producer = Producer::start(cluster, Arc::clone(&shared) as Arc<dyn Reports>)?;
        let dispatcher = Arc::new(Self { shared, producer });
        let sender = Arc::downgrade(&dispatcher);
        tokio::spawn(async move {
            while let Some((ticket, record)) = waiting.recv().await {
                let Some(dispatcher) = sender.upgrade() else { return };
                dispatcher.send(&record, ticket);
            }
        });
        Ok(dispatcher)
    }

    /// The producer, for warming it up and flushing it.
    #[must_use]
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// How many events are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.outbox.lock().in_flight()
    }

    /// Publishes a callback's events and waits for their verdicts, at most until `deadline`. Everything is handed to
    /// the producer before the first wait, so a sender that hangs up stops nothing half-way.
    ///
    /// # Errors
    /// [`Unanswerable`] where an event without an id was not confirmed.
    pub async fn deliver(
        &self,
        items: Vec<Item>,
        policy: &Arc<Policy>,
        metrics: &Arc<ApplicationMetrics>,
        deadline: tokio::time::Instant,
    ) -> Result<Vec<Answered>, Unanswerable> {
        let mut batch = Batch::of(items, policy, metrics);
        let (waiter, mut waiting) = oneshot::channel();
        let (delivery, admitted, finished) =
            self.shared.outbox.lock().admit(std::mem::take(&mut batch.arrivals), waiter);
        wake(finished);
        for (what, (key, id, plan)) in admitted.into_iter().zip(&batch.plans) {
            match what {
                Admitted::New => self.publish(*key, id, plan, metrics),
                Admitted::Joined => metrics.duplicates.inc(),
                Admitted::Known(verdict) if verdict.is_final() => metrics.duplicates.inc(),
                Admitted::Known(_) => {}
            }
        }
        let mut request = Request { shared: &self.shared, delivery, batch: Some(batch), metrics };
        let verdicts = match tokio::time::timeout_at(deadline, &mut waiting).await {
            Ok(verdicts) => verdicts.unwrap_or_default(),
            Err(_) => {
                let expired = self.shared.outbox.lock().expire(delivery);
                match expired {
                    Some(expired) => expired.verdicts,
                    // The last report came in this very moment: what it says is better.
                    None => waiting.await.unwrap_or_default(),
                }
            }
        };
        request.answer(&verdicts)
    }

    fn publish(&self, key: EventKey, id: &EventId, plan: &Planned, metrics: &Arc<ApplicationMetrics>) {
        if let Some(reason) = plan.reason {
            metrics.dead_letter(reason);
        }
        for record in [Some(&plan.record), plan.credential.as_ref()].into_iter().flatten() {
            let ticket = Ticket {
                key,
                entity: record.entity,
                handed_over: Instant::now(),
                event_time: plan.event_time,
                event_id: tracing::enabled!(target: "event", tracing::Level::DEBUG).then(|| id.text().into()),
                application: Arc::clone(metrics),
            };
            self.send(record, ticket);
        }
    }

    fn send(&self, record: &Record, ticket: Ticket) {
        let again = ticket.clone();
        if let Err(report) = self.producer.send(record, ticket) {
            self.shared.report(again, &record.topic, report, None);
        }
    }
}

impl Shared {
    fn confirmed(&self, ticket: &Ticket, topic: &str, position: Position) {
        let took = ticket.handed_over.elapsed();
        ticket.application.published(ticket.entity);
        self.metrics.publish_duration(ticket.entity).observe(took.as_secs_f64());
        if let Some(event_time) = ticket.event_time {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let age = now - event_time as f64 / 1000.0;
            self.metrics.event_age(ticket.entity).observe(age.max(0.0));
        }
        if let Some(event_id) = &ticket.event_id {
            let Position { partition, offset } = position;
            let milliseconds = took.as_secs_f64() * 1000.0;
            tracing::debug!(target: "event", event_id = &**event_id, topic, partition, offset, milliseconds, "published");
        }
    }
}

impl Reports for Shared {
    fn report(&self, ticket: Ticket, topic: &str, report: Report, position: Option<Position>) {
        if let Some(position) = position {
            self.confirmed(&ticket, topic, position);
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let step = self.outbox.lock().report(ticket.key, report, now);
        match step {
            Step::Waiting => {}
            Step::Resolved(_, finished) => wake(finished),
            Step::Produce(record, reason) => {
                if let Some(reason) = reason {
                    ticket.application.dead_letter(reason);
                }
                let ticket = Ticket { entity: record.entity, handed_over: Instant::now(), ..ticket };
                // The task ends only with the process; then nobody waits for the verdict either.
                let _ = self.letters.send((ticket, record));
            }
        }
    }

    fn state(&self, state: ProducerState) {
        self.metrics.kafka.show(&state);
    }
    fn recreated(&self) {
        self.metrics.kafka.producer_recreated.inc();
    }
}

fn wake(finished: impl IntoIterator<Item = Finished<Waiter>>) {
    for Finished { waiter, verdicts } in finished {
        // Whoever waited may have hung up.
        let _ = waiter.send(verdicts);
    }
}

/// A request that waits for its verdicts. One that is dropped before, because its sender has reset the connection, is
/// forgotten by the outbox and counted as answered that nothing was confirmed: so what is received and what is answered
/// stay the same number.
struct Request<'a> {
    shared: &'a Shared,
    delivery: DeliveryId,
    batch: Option<Batch>,
    metrics: &'a ApplicationMetrics,
}

impl Request<'_> {
    fn answer(&mut self, verdicts: &[Verdict]) -> Result<Vec<Answered>, Unanswerable> {
        self.batch.take().map_or(Ok(Vec::new()), |batch| batch.answer(verdicts, self.metrics))
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.batch.is_some() {
            self.shared.outbox.lock().expire(self.delivery);
            // Nobody hears it.
            let _ = self.answer(&[]);
        }
    }
}

/// What an event is published as.
struct Planned {
    /// Why it is a dead letter, where it is one.
    reason: Option<Reason>,
    record: Record,
    credential: Option<Record>,
    event_time: Option<i64>,
}

/// The events of one callback, each id once.
struct Batch {
    /// What goes to the outbox, and beside it what is produced for it.
    arrivals: Vec<Arrival>,
    plans: Vec<(EventKey, EventId, Planned)>,
    /// The verdicts that need no broker.
    skipped: Vec<String>,
}

impl Batch {
    fn of(items: Vec<Item>, policy: &Arc<Policy>, metrics: &ApplicationMetrics) -> Self {
        let size = items.len();
        let mut batch =
            Self { arrivals: Vec::with_capacity(size), plans: Vec::with_capacity(size), skipped: Vec::new() };
        let mut seen = HashSet::with_capacity(size);
        for item in items {
            let key = EventKey::of(&policy.application_id, item.id.text());
            // A twin inside one callback has its sibling's verdict.
            if seen.insert(key) {
                batch.take(key, item, policy, metrics);
            }
        }
        batch
    }

    fn take(&mut self, key: EventKey, item: Item, policy: &Arc<Policy>, metrics: &ApplicationMetrics) {
        let Item { id, entity, action, event_time, drift, plan, evidence } = item;
        if let EventId::Sent(_) = id {
            metrics.received(entity, action);
        }
        metrics.drifted(entity, drift);
        let (verdict, reason, record, credential) = match plan {
            Plan::Skip => return self.skipped.push(id.text().to_owned()),
            Plan::Publish { record, credential } => (Verdict::Confirmed, None, record, credential),
            Plan::DeadLetter { reason, record } => (Verdict::DeadLettered(reason), Some(reason), record, None),
        };
        let records = 1 + u8::from(credential.is_some());
        self.arrivals.push(Arrival { key, records, verdict, evidence, policy: Arc::clone(policy) });
        self.plans.push((key, id, Planned { reason, record, credential, event_time }));
    }

    fn answer(self, verdicts: &[Verdict], metrics: &ApplicationMetrics) -> Result<Vec<Answered>, Unanswerable> {
        let skipped = self.skipped.into_iter().map(|event_id| Answered { event_id, verdict: Verdict::NotSubscribed });
        let mut answered: Vec<_> = skipped.collect();
        let mut unanswerable = false;
        for (position, (_, id, _)) in self.plans.into_iter().enumerate() {
            let verdict = verdicts.get(position).copied().unwrap_or(Verdict::NotConfirmed);
            match id {
                EventId::Sent(event_id) => answered.push(Answered { event_id, verdict }),
                EventId::Made(_) if verdict.is_final() => {}
                EventId::Made(_) => unanswerable = true,
            }
        }
        for event in &answered {
            // The whole callback is refused: each of its events is asked for again.
            metrics.answered(if unanswerable { Verdict::NotConfirmed } else { event.verdict });
        }
        if unanswerable { Err(Unanswerable) } else { Ok(answered) }
    }
}
