//! Coordination of replicas: they find each other through a topic of their own and agree who publishes which lanes
//! first.
//!
//! A thread runs [`Coordinator`](outbox::replicas::coordinator::Coordinator). Its inputs are the topic's records and
//! the availability of Kafka. If the topic cannot be used, the service runs as if it were the only replica.

mod identity;
mod runner;
mod topic;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::runner::{ReplicaEvent, Runner};
use super::dedup_rebuild::DedupRebuild;
use crate::config::Config;
use crate::delivery::dispatcher::Dispatcher;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;

/// Starts the coordination of replicas and creates the [`DedupRebuild`]. They share a [`ReplayPermit`], because both
/// decide when replay may start.
pub(super) fn start(
    config: &Config,
    dispatcher: &Arc<Dispatcher>,
    metrics: &Arc<Metrics>,
) -> (Arc<DedupRebuild>, Arc<Replicas>) {
    let replay_permit = Arc::new(ReplayPermit::default());
    let dedup_rebuild = DedupRebuild::new(config, &replay_permit);
    let replicas = Replicas::start(config, &replay_permit, &dedup_rebuild, dispatcher, metrics);
    (dedup_rebuild, replicas)
}

/// Permits the replay of the journal, once its conditions are met.
#[derive(Default)]
pub(super) struct ReplayPermit {
    /// True once the dedup cache is rebuilt, or cannot be.
    is_history_read: AtomicBool,
    /// True once the other replicas know this replica's waiting events, or there are no other replicas.
    is_granted: AtomicBool,
    is_available: AtomicBool,
    /// True if there are no other replicas.
    is_alone: AtomicBool,
    /// True if another cluster answers at the same address and the thread has not handled it yet.
    is_replaced: AtomicBool,
}

impl ReplayPermit {
    /// Records that the history is known, or cannot be known.
    pub(super) fn history_read(&self, dispatcher: &Dispatcher) {
        self.is_history_read.store(true, Ordering::SeqCst);
        if self.is_granted.load(Ordering::SeqCst) {
            dispatcher.enable_replay();
        }
    }

    /// Handles another cluster: its topics must be read before replay.
    pub(super) fn forget_history(&self) {
        self.is_history_read.store(false, Ordering::SeqCst);
        self.is_replaced.store(true, Ordering::SeqCst);
    }

    fn start_publishing(&self, dispatcher: &Dispatcher) {
        dispatcher.set_may_publish(true);
        self.is_granted.store(true, Ordering::SeqCst);
        if self.is_history_read.load(Ordering::SeqCst) {
            dispatcher.enable_replay();
        }
    }

    /// Returns true if Kafka was last seen available. The outbox may still wait for other replicas.
    pub(super) fn is_available(&self) -> bool {
        self.is_available.load(Ordering::SeqCst)
    }
}

/// Handle of the coordination thread.
pub(super) struct Replicas {
    replay_permit: Arc<ReplayPermit>,
    dispatcher: Weak<Dispatcher>,
    events: Sender<ReplicaEvent>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Replicas {
    /// Starts the thread. If that fails, the service runs as if it were the only replica.
    fn start(
        config: &Config,
        replay_permit: &Arc<ReplayPermit>,
        dedup_rebuild: &Arc<DedupRebuild>,
        dispatcher: &Arc<Dispatcher>,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (events, received) = channel();
        let runner = Runner::new(config, replay_permit, dedup_rebuild, dispatcher, metrics);
        let alive = metrics.liveness.watch("replicas");
        let run = move || {
            runner.run(&received);
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("replicas".to_owned()).spawn(run);
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(
                    code = LogCode::ReplicasNotCoordinated.as_str(), %error,
                    "the thread that coordinates replicas could not be started"
                );
                replay_permit.is_alone.store(true, Ordering::SeqCst);
                replay_permit.is_granted.store(true, Ordering::SeqCst);
                None
            }
        };
        let asked = events.clone();
        dispatcher.ask_replicas(move || asked.send(ReplicaEvent::PartitionsAvailable).is_ok());
        let dispatcher = Arc::downgrade(dispatcher);
        Arc::new(Self { replay_permit: Arc::clone(replay_permit), dispatcher, events, thread: Mutex::new(thread) })
    }

    /// Uses other Kafka settings for the coordination topic from now on.
    pub(super) fn replace_kafka_clients(&self, cluster: &Cluster) {
        // Fails only if the thread has ended, which it does with the service.
        let _ = self.events.send(ReplicaEvent::Clients(cluster.clone()));
    }

    /// Records the id of the cluster that answers.
    pub(super) fn cluster_seen(&self, id: &str) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.cluster_seen(id);
        }
    }

    /// Records that Kafka is available, with the topics and indexes of partitions that have a leader.
    pub(super) fn kafka_available(&self, with_leader: &[(String, usize)]) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.outage_ended(with_leader);
        }
        self.set_kafka_available(true);
    }

    /// Records whether Kafka is available.
    pub(super) fn set_kafka_available(&self, is_available: bool) {
        self.replay_permit.is_available.store(is_available, Ordering::SeqCst);
        // Publishing ends at once. It begins at once only if there are no other replicas.
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.set_kafka_available(is_available);
            if !is_available || self.replay_permit.is_alone.load(Ordering::SeqCst) {
                dispatcher.set_may_publish(is_available);
            }
        }
        // Fails only if the thread has ended, which it does with the service.
        let _ = self.events.send(ReplicaEvent::Available(is_available));
    }

    /// Announces the shutdown to the other replicas. Blocks for a moment.
    pub(super) fn end(&self) {
        let _ = self.events.send(ReplicaEvent::End);
        if let Some(thread) = self.thread.lock().take() {
            // A panic in it has been logged.
            let _ = thread.join();
        }
    }
}
