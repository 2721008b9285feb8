//! Sends the events of a run: one after the other over some connections, or at a fixed rate.
//!
//! At a fixed rate, latency counts from the time at which a callback should have been sent. So if the bridge stalls,
//! all callbacks that had to wait show it, not only one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::events::{Event, Generator};
use super::fault::{Fault, Request};
use super::kind::EventType;
use super::presigner::{self, Prepared, PresignedQueue};
use super::redelivery::{Batch, DeliveryEvent, Schedule, deliver};
use super::sender::{Sender, now_ms};
use super::signing::SigningFault;

/// A callback that leaves this much too late is reported as [`DeliveryEvent::Late`].
const LATE: Duration = Duration::from_millis(5);

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// The source of the events.
    pub source: Source,
    /// The number of events.
    pub count: u64,
    /// The number of events per callback; at least one.
    pub events_per_callback: u64,
    /// Events per second. `None` sends as fast as the connections allow.
    pub rate: Option<f64>,
    /// The number of concurrent callbacks.
    pub connections: usize,
    /// The deliberate fault.
    pub fault: Option<Fault>,
    /// The schedule of redeliveries.
    pub schedule: Schedule,
}

/// The source of events.
#[derive(Debug, Clone)]
pub enum Source {
    /// Generated events, of these types in turn.
    Generated {
        /// The types. Must not be empty.
        types: Vec<EventType>,
        /// Generates them.
        generator: Generator,
        /// Replaces their `bizData`, if it is given.
        biz_data: Option<Value>,
    },
    /// Given events, sent as they are.
    Given(Vec<Event>),
}

impl RunSettings {
    /// Returns the number of callbacks.
    #[must_use]
    pub const fn callbacks(&self) -> u64 {
        self.count.div_ceil(self.events_per_callback)
    }

    /// Returns the number of callbacks that are signed before the first is sent.
    #[must_use]
    pub fn signed_ahead(&self) -> u64 {
        self.callbacks().min(self.presigned() as u64)
    }

    /// Returns the capacity of the queue of signed callbacks: some thousand events, or a few if each has megabytes.
    pub(super) fn presigned(&self) -> usize {
        let large = [Some(Fault::TooLarge), Some(Fault::RecordTooLarge)].contains(&self.fault);
        let events = if large { 4 } else { 8192 };
        usize::try_from((events / self.events_per_callback).max(2)).unwrap_or(2)
    }

    /// Creates and signs the request of callback `number`.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn request(&self, sender: &Sender, number: u64) -> Result<Request, SigningFault> {
        let Batch { events, fault } = self.batch(number);
        sender.request(&events, fault)
    }

    /// Returns the events of callback `number`, with the current time.
    pub(super) fn batch(&self, number: u64) -> Batch {
        let first = number.saturating_mul(self.events_per_callback);
        let end = first.saturating_add(self.events_per_callback).min(self.count);
        let events = (first..end).filter_map(|index| self.event(index)).collect();
        Batch { events, fault: self.fault }
    }

    fn event(&self, index: u64) -> Option<Event> {
        match &self.source {
            Source::Given(events) => events.get(usize::try_from(index).ok()?).cloned(),
            Source::Generated { types, generator, biz_data } => {
                let event_type = types.get(usize::try_from(index % types.len() as u64).ok()?)?;
                let mut event = generator.event(event_type, index, now_ms());
                if let Some(biz_data) = biz_data {
                    let id = ["userId", "organizationalUnitId", "groupId"].iter().find_map(|name| biz_data.get(name));
                    event.biz_id = id.and_then(Value::as_str).unwrap_or(&event.event_id).to_owned();
                    event.biz_data = biz_data.clone();
                }
                Some(event)
            }
        }
    }
}

/// Sends all events and reports all delivery events. Returns when all events have a final outcome. Starts threads for
/// signing, and tasks on the current runtime.
pub async fn send(sender: Arc<Sender>, settings: Arc<RunSettings>, event_sender: mpsc::UnboundedSender<DeliveryEvent>) {
    let presigned = presigner::open(&sender, &settings);
    presigned.filled().await;
    match settings.rate {
        None => send_in_turn(presigned, &sender, &settings, &event_sender).await,
        Some(rate) => {
            let interval = Duration::from_secs_f64(settings.events_per_callback as f64 / rate.max(0.001));
            send_at_rate(presigned, interval, &sender, &settings, &event_sender).await;
        }
    }
}

async fn send_in_turn(
    presigned: PresignedQueue,
    sender: &Arc<Sender>,
    settings: &Arc<RunSettings>,
    event_sender: &mpsc::UnboundedSender<DeliveryEvent>,
) {
    let callbacks = Arc::new(Mutex::new(presigned.callbacks));
    let mut connections = JoinSet::new();
    for _ in 0..settings.connections.max(1) {
        let (sender, settings, event_sender) = (Arc::clone(sender), Arc::clone(settings), event_sender.clone());
        let callbacks = Arc::clone(&callbacks);
        connections.spawn(async move {
            loop {
                let next = callbacks.lock().await.recv().await;
                let Some(Prepared { batch, request }) = next else { return };
                // If signing fails, its events have no outcome, and the run's count shows it.
                let _ = deliver(&sender, &batch, request, Instant::now(), &settings.schedule, &event_sender).await;
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn send_at_rate(
    mut presigned: PresignedQueue,
    interval: Duration,
    sender: &Arc<Sender>,
    settings: &Arc<RunSettings>,
    event_sender: &mpsc::UnboundedSender<DeliveryEvent>,
) {
    let (due, mut dues) = mpsc::unbounded_channel();
    // The runtime's timer has a resolution of a millisecond, which would distort the latencies. A thread's sleep is
    // more exact.
    std::thread::spawn(move || {
        let start = Instant::now();
        for number in 0_u32.. {
            let Some(prepared) = presigned.callbacks.blocking_recv() else { return };
            let due_at = start + interval * number;
            std::thread::sleep(due_at.saturating_duration_since(Instant::now()));
            if due.send((prepared, due_at)).is_err() {
                return;
            }
        }
    });
    let connections = Arc::new(Semaphore::new(settings.connections.max(1)));
    let mut callbacks = JoinSet::new();
    while let Some((Prepared { batch, request }, due_at)) = dues.recv().await {
        if due_at.elapsed() > LATE {
            let _ = event_sender.send(DeliveryEvent::Late(due_at.elapsed()));
        }
        let (sender, settings, event_sender) = (Arc::clone(sender), Arc::clone(settings), event_sender.clone());
        let connections = Arc::clone(&connections);
        callbacks.spawn(async move {
            let _permit = connections.acquire().await;
            let _ = deliver(&sender, &batch, request, due_at, &settings.schedule, &event_sender).await;
        });
        // Finished tasks are removed during the run, so that the memory of a long run does not grow.
        while callbacks.try_join_next().is_some() {}
    }
    while callbacks.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kind::Kind;
    use crate::stats::RunStats;
    use crate::test_bridge::{TestBridge, answer};

    fn settings(count: u64, events_per_callback: u64, rate: Option<f64>) -> RunSettings {
        let types = Kind::ALL.map(EventType::from).to_vec();
        let source = Source::Generated { types, generator: Generator::new(3), biz_data: None };
        RunSettings {
            source,
            count,
            events_per_callback,
            rate,
            connections: 4,
            fault: None,
            schedule: Schedule::once(),
        }
    }

    async fn sent(settings: RunSettings) -> (TestBridge, RunStats) {
        let bridge = TestBridge::start(|_, ids| (200, answer(ids, &[]))).await;
        let (sending, mut receiving) = mpsc::unbounded_channel();
        send(Arc::clone(&bridge.sender), Arc::new(settings), sending).await;
        let mut stats = RunStats::default();
        while let Some(event) = receiving.recv().await {
            stats.count(&event);
        }
        (bridge, stats)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_event_is_sent_once_in_callbacks_of_the_given_size() {
        for rate in [None, Some(10_000.0)] {
            let (bridge, stats) = sent(settings(101, 10, rate)).await;
            assert!(stats.is_as_expected(101), "{stats:?}");
            let requests = bridge.requests();
            assert_eq!(requests.len(), 11);
            assert!(requests.iter().all(|request| request.event_ids.len() <= 10));
            let ids: BTreeSet<_> = requests.iter().flat_map(|request| &request.event_ids).collect();
            assert_eq!(ids.len(), 101);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_that_were_given_are_sent_as_they_are() {
        let item = serde_json::json!({"eventId": "evnt_mine", "eventType": "urn:x", "bizData": [1], "more": null});
        let mut settings = settings(1, 1, None);
        settings.source = Source::Given(vec![Event::given(item.clone())]);
        let (bridge, stats) = sent(settings).await;
        assert!(stats.is_as_expected(1));
        assert_eq!(bridge.requests()[0].items, [item]);
    }
}
