//! The coordination thread: reads the topic, runs the coordinator, and executes its commands.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use outbox::replicas::coordinator::{Command, Coordinator, Facts};
use outbox::replicas::record::Record;
use outbox::{LaneKey, Millis, Seq};

use super::identity::identity;
use super::topic::Topic;
use super::{DedupRebuild, ReplayPermit};
use crate::config::Config;
use crate::delivery::dispatcher::Dispatcher;
use crate::kafka::client::settings::Cluster;
use crate::kafka::history::partition_reader::FetchProfile;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;

/// How long one read waits for records: while an agreement is in progress, and otherwise.
const BUSY_WAIT: Duration = Duration::from_millis(10);
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// Limit for reading the event topics up to their ends.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// The inputs of the thread.
pub(super) enum ReplicaEvent {
    /// Kafka became available or unavailable.
    Available(bool),
    /// Partitions accept records again, and events that waited for them are withheld.
    PartitionsAvailable,
    /// Use other Kafka settings for the coordination topic.
    Clients(Cluster),
    /// The service shuts down.
    End,
}

pub(super) struct Runner {
    topic: Topic,
    coordinator: Coordinator,
    dispatcher: Weak<Dispatcher>,
    dedup_rebuild: Arc<DedupRebuild>,
    replay_permit: Arc<ReplayPermit>,
    metrics: Arc<Metrics>,
    started: Instant,
    is_available: bool,
    /// Events with a lower sequence number were already waiting when lanes were last opened or held.
    boundary_seq: Seq,
    caught_up: Arc<AtomicU64>,
    is_fast: bool,
    /// True if the outbox knows that there are other replicas.
    is_coordinated: bool,
    rounds: u64,
}

/// The facts that the coordinator asks for.
struct OutboxFacts<'a> {
    dispatcher: &'a Dispatcher,
    boundary_seq: Seq,
    is_current: bool,
    caught_up: u64,
}

impl Facts for OutboxFacts<'_> {
    fn in_flight(&self) -> bool {
        self.dispatcher.has_in_flight(None)
    }

    fn recovering_in_flight(&self) -> bool {
        self.dispatcher.has_recovering_in_flight()
    }

    fn in_flight_in(&self, lanes: &HashSet<LaneKey>) -> bool {
        !lanes.is_empty() && self.dispatcher.has_in_flight(Some(lanes))
    }

    fn waiting(&self) -> HashMap<LaneKey, u32> {
        self.dispatcher.waiting_by_lane()
    }

    fn withheld(&self) -> HashMap<LaneKey, u32> {
        self.dispatcher.withheld_by_lane()
    }

    fn has_backlog(&self, lanes: &HashSet<LaneKey>) -> bool {
        self.dispatcher.has_backlog(lanes, self.boundary_seq)
    }

    fn log_is_current(&self) -> bool {
        self.is_current
    }

    fn caught_up(&self) -> u64 {
        self.caught_up
    }
}

impl Runner {
    pub(super) fn new(
        config: &Config,
        replay_permit: &Arc<ReplayPermit>,
        dedup_rebuild: &Arc<DedupRebuild>,
        dispatcher: &Arc<Dispatcher>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            topic: Topic::new(config),
            coordinator: Coordinator::new(identity(&config.journal.directory)),
            dispatcher: Arc::downgrade(dispatcher),
            dedup_rebuild: Arc::clone(dedup_rebuild),
            replay_permit: Arc::clone(replay_permit),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            is_available: false,
            boundary_seq: dispatcher.next_seq(),
            caught_up: Arc::default(),
            is_fast: false,
            is_coordinated: false,
            rounds: 0,
        }
    }

    pub(super) fn run(mut self, events: &Receiver<ReplicaEvent>) {
        loop {
            loop {
                match events.try_recv() {
                    Ok(ReplicaEvent::Available(available)) => {
                        self.is_available = available;
                        self.topic.expect_more();
                        self.coordinator.available(available, self.now());
                    }
                    Ok(ReplicaEvent::PartitionsAvailable) => self.coordinator.partitions_available(self.now()),
                    Ok(ReplicaEvent::Clients(cluster)) => {
                        self.topic.replace_kafka_clients(cluster);
                        self.coordinator.uncoordinated();
                    }
                    Ok(ReplicaEvent::End) => return self.leave(),
                    Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => break,
                }
            }
            if self.replay_permit.is_replaced.swap(false, Ordering::SeqCst) {
                self.topic.start_over();
                self.coordinator.uncoordinated();
            }
            self.read();
            let Some(dispatcher) = self.dispatcher.upgrade() else { return };
            let facts = OutboxFacts {
                dispatcher: &dispatcher,
                boundary_seq: self.boundary_seq,
                is_current: self.topic.is_current(),
                caught_up: self.caught_up.load(Ordering::SeqCst),
            };
            let commands = self.coordinator.step(self.now(), &facts);
            commands.into_iter().for_each(|command| self.execute(command, &dispatcher));
            let is_coordinated = self.coordinator.replicas() > 1;
            if std::mem::replace(&mut self.is_coordinated, is_coordinated) != is_coordinated {
                dispatcher.coordinate_recoveries(is_coordinated);
            }
            self.publish_status();
        }
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// Reads new records of the topic.
    fn read(&mut self) {
        let wait = if self.coordinator.is_busy() { BUSY_WAIT } else { IDLE_WAIT };
        let coordinator = &mut self.coordinator;
        let mut is_usable = !self.is_available || self.topic.observe();
        is_usable &= self.topic.read(wait, |record, offset| coordinator.apply(record, offset));
        if !is_usable {
            coordinator.uncoordinated();
        }
        if self.is_available {
            self.topic.set_target();
        }
    }

    fn execute(&mut self, command: Command, dispatcher: &Dispatcher) {
        match command {
            Command::Write(body) => self.topic.write(&Record { writer: self.coordinator.me(), body }),
            Command::StartPublishing => {
                self.boundary_seq = dispatcher.next_seq();
                self.replay_permit.start_publishing(dispatcher);
                self.log_agreement();
            }
            Command::Recover => {
                self.boundary_seq = dispatcher.next_seq();
                dispatcher.release_closed_lanes();
                self.log_agreement();
            }
            Command::StopPublishing => {
                dispatcher.set_may_publish(false);
                self.topic.purge();
            }
            Command::Hold(lanes) => {
                dispatcher.hold_lanes(lanes);
                self.boundary_seq = dispatcher.next_seq();
            }
            Command::CatchUp(ticket) => self.catch_up(ticket),
            Command::Follow(true) => {
                tracing::info!(
                    code = LogCode::ReplicaFound.as_str(),
                    replicas = self.coordinator.replicas(),
                    "other replicas are running"
                );
                self.dedup_rebuild.follow();
            }
            Command::Follow(false) => self.dedup_rebuild.unfollow(),
        }
    }

    fn log_agreement(&self) {
        let (replicas, lanes_held) = (self.coordinator.replicas(), self.coordinator.held());
        if replicas > 1 {
            tracing::info!(
                code = LogCode::ReplicasAgreed.as_str(),
                replicas,
                lanes_held,
                "begins to publish waiting events"
            );
        }
    }

    fn catch_up(&self, ticket: u64) {
        /// Reports the ticket as done, whatever becomes of the thread: lanes are released only after that.
        struct Done(Arc<AtomicU64>, u64);
        impl Drop for Done {
            fn drop(&mut self) {
                self.0.fetch_max(self.1, Ordering::SeqCst);
            }
        }
        let (dedup_rebuild, done) = (Arc::clone(&self.dedup_rebuild), Done(Arc::clone(&self.caught_up), ticket));
        let catch_up = move || {
            let end = Instant::now() + CATCH_UP_TIMEOUT;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() || dedup_rebuild.catch_up(left) {
                    break;
                }
                std::thread::sleep(BUSY_WAIT);
            }
            drop(done);
        };
        // If there is no thread, the ticket is done.
        let _ = std::thread::Builder::new().name("catch up".to_owned()).spawn(catch_up);
    }

    /// Updates the metrics and the replay permit, and sets how eagerly the follower fetches.
    fn publish_status(&mut self) {
        let is_alone = self.coordinator.is_alone();
        self.replay_permit.is_alone.store(is_alone, Ordering::SeqCst);
        let is_fast = !is_alone && (self.coordinator.is_busy() || !self.is_available);
        if std::mem::replace(&mut self.is_fast, is_fast) != is_fast {
            self.dedup_rebuild.set_fetch_profile(if is_fast { FetchProfile::Fast } else { FetchProfile::Relaxed });
        }
        let (metrics, rounds) = (&self.metrics.replicas, self.coordinator.rounds());
        metrics.show(self.coordinator.replicas(), self.coordinator.held());
        metrics.rounds.inc_by(rounds - std::mem::replace(&mut self.rounds, rounds));
    }

    fn leave(&mut self) {
        for command in self.coordinator.leave() {
            if let Command::Write(body) = command
                && self.is_available
            {
                self.topic.write(&Record { writer: self.coordinator.me(), body });
                self.topic.flush();
            }
        }
    }
}
