//! Replaces the instance in use, and drains the old one. Holds the state that the producer and its threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::cluster_check::Check;
use super::health::{Health, ReplaceReason, SupervisorEvent};
use super::in_flight::InFlight;
use super::instance::ProducerInstance;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// Maximum time for an old producer to drain. After a fatal error, only requests in flight can still be answered. A
/// producer with a nearly exhausted epoch or old settings continues for as long as a record may take.
const FATAL_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(150);
/// Poll interval while a replaced producer drains.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// State that the producer and its threads share: the instance in use, its settings, and the records in flight.
pub(super) struct ProducerState {
    pub(super) cluster: Arc<ArcSwap<Cluster>>,
    pub(super) instance: ArcSwap<ProducerInstance>,
    /// Held while instance and settings change together.
    pub(super) replacement_lock: Mutex<()>,
    /// The number of the instance in use.
    pub(super) current: Arc<AtomicU64>,
    /// The number of the newest instance.
    pub(super) newest: AtomicU64,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) checks: Sender<Check>,
    pub(super) events: Sender<SupervisorEvent>,
    pub(super) liveness: Arc<Liveness>,
    pub(super) last_epoch: i64,
    pub(super) min_lifetime: Duration,
}

impl ProducerState {
    pub(super) fn is_current(&self, number: u64) -> bool {
        self.current.load(Ordering::Relaxed) == number
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns the reason why the producer with this number cannot continue, if it is in use and has failed.
    pub(super) fn fatal(&self, number: u64) -> Option<ReplaceReason> {
        if !self.is_current(number) {
            return None;
        }
        let code = self.instance.load().fatal()?;
        let denied = [RDKafkaErrorCode::ClusterAuthorizationFailed, RDKafkaErrorCode::TopicAuthorizationFailed];
        Some(if denied.contains(&code) { ReplaceReason::Denied } else { ReplaceReason::Fatal })
    }

    /// Creates a new producer that is not in use yet.
    pub(super) fn new_instance(&self, cluster: &Cluster) -> Result<ProducerInstance, ProducerFault> {
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let health = Health::new(number, Arc::clone(&self.current), self.events.clone(), self.last_epoch);
        ProducerInstance::start(cluster, Arc::clone(&self.in_flight), health, self.checks.clone(), &self.liveness)
    }

    /// Replaces the instance in use, and changes the settings.
    pub(super) fn replace_with(&self, instance: ProducerInstance, cluster: Cluster) {
        let _one = self.replacement_lock.lock();
        self.cluster.store(Arc::new(cluster));
        self.switch_to(instance, ReplaceReason::Settings);
    }

    /// Replaces the instance in use. Returns false, and closes the new one, if the settings have changed since it was
    /// created: the one in use already has the new settings.
    pub(super) fn replace_unless_outdated(
        &self,
        instance: ProducerInstance,
        of: &Arc<Cluster>,
        why: ReplaceReason,
    ) -> bool {
        let _one = self.replacement_lock.lock();
        let is_current = Arc::ptr_eq(of, &self.cluster.load());
        if is_current {
            self.switch_to(instance, why);
        }
        is_current
    }

    fn switch_to(&self, instance: ProducerInstance, why: ReplaceReason) {
        self.current.store(instance.health().number(), Ordering::Relaxed);
        let old = self.instance.swap(Arc::new(instance));
        // The metric counts faults, and a reload is not one.
        if why != ReplaceReason::Settings {
            self.in_flight.observer.producer_recreated();
        }
        tracing::warn!(
            code = LogCode::ProducerRecreated.as_str(),
            reason = why.code(),
            "a new producer has taken over"
        );
        let ended = Arc::clone(&self.ended);
        let retire = move || retire(old, why, &ended);
        if std::thread::Builder::new().name("producer retiring".to_owned()).spawn(retire).is_err() {
            // The failed spawn has dropped the closure with the last reference, so the old producer was closed on
            // this thread.
            tracing::warn!(
                code = LogCode::ProducerEndedEarly.as_str(),
                "the thread that waits for the old producer could not be started"
            );
        }
    }
}

/// Waits until an old producer has reported all of its records, then closes it.
fn retire(mut shared: Arc<ProducerInstance>, why: ReplaceReason, ended: &AtomicBool) {
    // A caller that loaded it before the replacement may be handing over a record right now.
    let instance = loop {
        match Arc::try_unwrap(shared) {
            Ok(instance) => break instance,
            Err(held) => shared = held,
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let began = Instant::now();
    let limit = match why {
        ReplaceReason::Fatal | ReplaceReason::Stuck => FATAL_DRAIN_TIMEOUT,
        ReplaceReason::Denied | ReplaceReason::Cluster => Duration::ZERO,
        ReplaceReason::Epoch | ReplaceReason::Settings => DRAIN_TIMEOUT,
    };
    while instance.wait(DRAIN_INTERVAL) > 0 {
        // Repeatedly, because records that were rejected in between are sent alone now.
        if began.elapsed() >= limit || ended.load(Ordering::Relaxed) {
            instance.purge(true);
        } else if why == ReplaceReason::Stuck {
            // Records without a request in flight need not wait.
            instance.purge(false);
        }
    }
}
