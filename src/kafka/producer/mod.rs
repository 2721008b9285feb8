//! The producer. It is replaced when it stops working, and every record that the old one had accepted gets its report.
//!
//! librdkafka stops a producer after a fatal error, its epoch can be exhausted, it can be stuck, or the cluster or its
//! settings change. Then a new one is created, warmed up and put in its place (`supervisor`). The old one is drained
//! and closed on another thread, so that neither the service nor librdkafka's threads wait. A record is never moved
//! from one to the other: only the caller that handed it over may decide, after its report, to send it again.

mod cluster_check;
mod confirmation_gate;
pub mod delivery;
mod health;
mod in_flight;
mod instance;
mod monitor;
pub mod publisher;
mod record_error;
mod replacement;
mod resend;
mod statistics;
mod supervisor;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use idaas_callback::record::Record;
use outbox::DeliveryReport;
use parking_lot::Mutex;

use self::cluster_check::{Check, Checker};
use self::delivery::{DeliveryObserver, DeliveryTag};
use self::health::{Health, LAST_EPOCH, SupervisorEvent};
use self::in_flight::InFlight;
use self::instance::ProducerInstance;
use self::monitor::Monitor;
use self::replacement::ProducerState;
use self::supervisor::Supervisor;
use crate::kafka::availability::acceptance::Acceptance;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::liveness::Liveness;

/// Minimum time between two replacements, so that a cluster that rejects all producers is not flooded with new ones.
const MIN_LIFETIME: Duration = Duration::from_secs(5);
/// Maximum wait during shutdown for a thread that is using the producer.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time for a new producer with changed settings to connect.
const WARM_UP: Duration = Duration::from_secs(5);

/// The producer. Dropping it closes it, which blocks; librdkafka's threads never own it.
pub struct Producer {
    state: Arc<ProducerState>,
    events: Sender<SupervisorEvent>,
    checks: Sender<Check>,
}

/// A producer with other settings that is not in use yet. Dropping it closes it, which blocks.
pub struct PreparedProducer {
    cluster: Cluster,
    instance: ProducerInstance,
}

impl Producer {
    /// Starts a producer and its threads. Connects in the background.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects a property.
    pub fn start(
        cluster: &Cluster,
        observer: Arc<dyn DeliveryObserver>,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, ProducerFault> {
        Self::start_with(cluster, observer, liveness, LAST_EPOCH, MIN_LIFETIME)
    }

    fn start_with(
        cluster: &Cluster,
        observer: Arc<dyn DeliveryObserver>,
        liveness: &Arc<Liveness>,
        last_epoch: i64,
        min_lifetime: Duration,
    ) -> Result<Self, ProducerFault> {
        let (events, received) = channel();
        let (checks, to_check) = channel();
        let in_flight = Arc::new(InFlight::new(observer));
        let current = Arc::new(AtomicU64::new(0));
        let health = Health::new(0, Arc::clone(&current), events.clone(), last_epoch);
        let instance = ProducerInstance::start(cluster, Arc::clone(&in_flight), health, checks.clone(), liveness)?;
        let state = Arc::new(ProducerState {
            cluster: Arc::new(ArcSwap::from_pointee(cluster.clone())),
            instance: ArcSwap::from_pointee(instance),
            replacement_lock: Mutex::new(()),
            current,
            newest: AtomicU64::new(0),
            in_flight,
            ended: Arc::default(),
            checks: checks.clone(),
            events: events.clone(),
            liveness: Arc::clone(liveness),
            last_epoch,
            min_lifetime,
        });
        let (weak, for_checks) = (Arc::downgrade(&state), Arc::downgrade(&state));
        let checker = Checker {
            cluster: Arc::clone(&state.cluster),
            current: Arc::new(move || for_checks.upgrade().map(|state| Arc::clone(state.instance.load().state()))),
            events: events.clone(),
            identity: Arc::new(Mutex::new(None)),
        };
        let monitor = Monitor::new(Weak::clone(&weak), events.clone());
        let supervisor = Supervisor { producer: weak, events: events.clone(), received };
        spawn("producer supervisor", liveness, move || supervisor.run())?;
        spawn("kafka cluster check", liveness, move || checker.run(&to_check))?;
        spawn("producer monitor", liveness, move || monitor.run())?;
        Ok(Self { state, events, checks })
    }

    /// Hands a record over. Unless this fails, its report is passed to [`DeliveryObserver::report`], on another
    /// thread. There is one report for each record, even if the producer is replaced in the meantime.
    ///
    /// # Errors
    /// [`DeliveryReport::QueueFull`] if the queue is full, [`DeliveryReport::NotSent`] if its partition does not accept
    /// records, [`DeliveryReport::Rejected`] if the record is larger than the producer accepts,
    /// [`DeliveryReport::Failed`] for everything else.
    pub fn send(&self, record: &Record, tag: DeliveryTag) -> Result<(), DeliveryReport> {
        self.state.instance.load().send(record, tag)
    }

    /// Returns true if records of that topic and key are considered to be accepted at the moment.
    #[must_use]
    pub fn accepts(&self, topic: &str, key: Option<&str>) -> bool {
        self.state.in_flight.accepts(topic, key)
    }

    /// Handles the end of an outage of the whole cluster, with the topics and indexes of partitions that have a leader.
    pub fn outage_ended(&self, with_leader: &[(String, usize)]) {
        self.state.in_flight.outage_ended(with_leader);
    }

    /// Returns the decision whether Kafka accepts records, for the watch.
    #[must_use]
    pub fn acceptance(&self) -> Arc<Acceptance> {
        Arc::clone(&self.state.in_flight.acceptance)
    }

    /// Waits until all records have their reports, or the time is over. Returns the number of records without one,
    /// including those that are sent alone and those of replaced producers.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        while self.state.in_flight.outstanding() > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.state.in_flight.outstanding()
    }

    /// Requests the cluster's topics, which also opens the connections: otherwise the first record would wait half a
    /// second for them. `None` if the cluster does not answer in time.
    #[must_use]
    pub fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        self.state.instance.load_full().warm_up(limit)
    }

    /// Records the id of the cluster that answers at the bootstrap addresses.
    pub fn cluster_seen(&self, id: &str) {
        let _ = self.checks.send(Check::ClusterId(id.to_owned()));
    }

    /// Creates a producer with other settings for [`Producer::replace`]. Changes nothing. Blocks.
    ///
    /// # Errors
    /// [`ProducerFault`] if librdkafka rejects the settings, or if the cluster answers with the old settings and does
    /// not with the new ones.
    pub fn prepare(&self, cluster: Cluster) -> Result<PreparedProducer, ProducerFault> {
        let instance = self.state.new_instance(&cluster)?;
        if instance.warm_up(WARM_UP).is_none() && self.warm_up(Duration::from_secs(1)).is_some() {
            return Err(ProducerFault::unanswered());
        }
        Ok(PreparedProducer { cluster, instance })
    }

    /// Replaces the producer in use. Records of the old one stay with it until they have their reports.
    pub fn replace(&self, PreparedProducer { cluster, instance }: PreparedProducer) {
        let number = instance.health().number();
        self.state.replace_with(instance, cluster);
        // Errors that it reported before it was in use were ignored, so it is checked again.
        let _ = self.events.send(SupervisorEvent::ErrorReported(number));
    }

    /// Closes the producer on this thread, once nothing else uses it. Blocks.
    pub fn close(mut shared: Arc<Self>) {
        loop {
            match Arc::try_unwrap(shared) {
                Ok(producer) => return drop(producer),
                Err(held) => shared = held,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Fails if the receivers have ended.
        let _ = self.events.send(SupervisorEvent::Stop);
        let _ = self.checks.send(Check::End);
        // The threads must release the state first, so that the producer is closed on this thread.
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        while Arc::strong_count(&self.state) > 1 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn spawn(
    name: &'static str,
    liveness: &Arc<Liveness>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), ProducerFault> {
    let alive = liveness.watch(name);
    let run = move || {
        run();
        drop(alive);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| ProducerFault::thread(&error))?;
    Ok(())
}
