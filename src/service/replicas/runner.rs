//! The thread of the coordination: reads the topic, lets the coordinator decide, and does what it says.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::identity::identity;
use super::{Gate, Recollection};
use crate::config::Config;
use crate::kafka::replica_log::{Presence, Read, ReplicaLog};
use crate::kafka::settings::Cluster;
use crate::kafka::tail::Pace;
use crate::kafka::topics::coordination_topic;
use crate::outbox::dispatch::Dispatcher;
use crate::outbox::{LaneKey, Millis, Seq};
use crate::replicas::coordinator::{Command, Coordinator, Facts};
use crate::replicas::record::Record;
use crate::telemetry::metrics::Metrics;

/// How long one wait for records takes: while there is something to do, and otherwise.
const BUSY_WAIT: Duration = Duration::from_millis(10);
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How many records are taken between two decisions.
const RECORDS: usize = 1000;

/// How often a topic that cannot be used is looked for: in the first seconds, while it may be being created, and later.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(30);

/// How long a missing topic may be being created.
const CREATION: Duration = Duration::from_secs(15);

/// How long reading the event topics up to their ends may take.
const CATCH_UP: Duration = Duration::from_secs(3);

/// How long the last record may take at the shutdown.
const LAST_RECORD: Duration = Duration::from_millis(500);

/// What the thread is told.
pub(super) enum News {
    /// Kafka is available, or not.
    Available(bool),
    /// The service shuts down.
    End,
}

pub(super) struct Runner {
    cluster: Cluster,
    topic: String,
    coordinator: Coordinator,
    dispatcher: Weak<Dispatcher>,
    recollection: Arc<Recollection>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    started: Instant,
    log: Option<ReplicaLog>,
    /// Whether the topic is being read.
    reads: bool,
    /// Whether it is known that the topic cannot be used.
    is_unusable: bool,
    is_told: bool,
    next_look: Instant,
    is_available: bool,
    /// Up to where the topic has to be read before it is current.
    target: Option<i64>,
    /// Events that were accepted before it waited when lanes were released last.
    mark: Seq,
    caught_up: Arc<AtomicU64>,
    is_fast: bool,
    rounds: u64,
}

/// What the coordinator asks.
struct View<'a> {
    dispatcher: &'a Dispatcher,
    mark: Seq,
    is_current: bool,
    caught_up: u64,
}

impl Facts for View<'_> {
    fn in_flight(&self) -> bool {
        self.dispatcher.has_in_flight(None)
    }

    fn in_flight_in(&self, lanes: &HashSet<LaneKey>) -> bool {
        !lanes.is_empty() && self.dispatcher.has_in_flight(Some(lanes))
    }

    fn waiting(&self) -> HashMap<LaneKey, u32> {
        self.dispatcher.waiting_by_lane()
    }

    fn has_backlog(&self, lanes: &HashSet<LaneKey>) -> bool {
        self.dispatcher.has_backlog(lanes, self.mark)
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
        gate: &Arc<Gate>,
        recollection: &Arc<Recollection>,
        dispatcher: &Arc<Dispatcher>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            cluster: crate::service::assemble::cluster(config),
            topic: coordination_topic(&config.topics.prefix),
            coordinator: Coordinator::new(identity(&config.journal.directory)),
            dispatcher: Arc::downgrade(dispatcher),
            recollection: Arc::clone(recollection),
            gate: Arc::clone(gate),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            log: None,
            reads: false,
            is_unusable: false,
            is_told: false,
            next_look: Instant::now(),
            is_available: false,
            target: None,
            mark: dispatcher.next_seq(),
            caught_up: Arc::default(),
            is_fast: false,
            rounds: 0,
        }
    }

    pub(super) fn run(mut self, news: &Receiver<News>) {
        loop {
            match news.try_recv() {
                Ok(News::Available(available)) => {
                    (self.is_available, self.target) = (available, None);
                    let now = self.now();
                    self.coordinator.available(available, now);
                }
                Ok(News::End) => return self.leave(),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            self.look();
            self.read();
            let Some(dispatcher) = self.dispatcher.upgrade() else { return };
            let view = View {
                dispatcher: &dispatcher,
                mark: self.mark,
                is_current: self.is_current(),
                caught_up: self.caught_up.load(Ordering::SeqCst),
            };
            let commands = self.coordinator.step(self.now(), &view);
            commands.into_iter().for_each(|command| self.execute(command, &dispatcher));
            self.show();
        }
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// Looks for the topic, if it is not being read and it is time to.
    fn look(&mut self) {
        let now = Instant::now();
        if self.reads || !self.is_available || now < self.next_look {
            return;
        }
        self.next_look = now + SOON;
        let Some(log) = self.log() else { return self.not_usable("librdkafka refuses the settings") };
        match log.presence() {
            Presence::Present => {
                if log.begin() {
                    (self.reads, self.is_unusable, self.target) = (true, false, None);
                }
            }
            Presence::Missing => self.not_usable("the topic does not exist; create it with `idaas-bridge topics --create`"),
            Presence::Denied => self.not_usable("the user of [kafka.properties] may not describe, read and write the topic"),
            Presence::Unknown => {}
        }
    }

    fn log(&mut self) -> Option<&mut ReplicaLog> {
        if self.log.is_none() {
            self.log = ReplicaLog::new(&self.cluster, &self.topic).ok();
        }
        self.log.as_mut()
    }

    /// The topic cannot be used, so nobody is known.
    fn not_usable(&mut self, reason: &str) {
        let is_late = self.started.elapsed() >= CREATION;
        if is_late {
            self.next_look = Instant::now() + LATER;
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(
                    code = "replicas_not_coordinated",
                    topic = self.topic,
                    "several replicas would publish some events twice and out of order after an outage: {reason}"
                );
            }
        }
        (self.reads, self.is_unusable) = (false, true);
        self.coordinator.uncoordinated();
    }

    fn read(&mut self) {
        let wait = if self.coordinator.is_busy() || self.target.is_none() { BUSY_WAIT } else { IDLE_WAIT };
        let Some(log) = self.log.as_mut().filter(|_| self.reads) else { return std::thread::sleep(wait) };
        log.serve();
        let mut limit = wait;
        for _ in 0..RECORDS {
            match log.read(limit) {
                Read::Record(position, value) => {
                    if let Some(record) = Record::from_json(&value) {
                        self.coordinator.apply(&record, position);
                    }
                }
                Read::Nothing => break,
                Read::Unusable(_) => {
                    self.log = None;
                    return self.not_usable("the topic was deleted, or may no longer be read");
                }
            }
            limit = Duration::ZERO;
        }
        if self.is_available && self.target.is_none() {
            self.target = log.end();
        }
    }

    fn is_current(&self) -> bool {
        let read = self.log.as_ref().map(ReplicaLog::next_position);
        self.is_unusable || (self.reads && self.target.is_some_and(|target| read >= Some(target)))
    }

    fn execute(&mut self, command: Command, dispatcher: &Dispatcher) {
        match command {
            Command::Write(body) => {
                let record = Record { writer: self.coordinator.me(), body };
                if let Some(log) = self.log.as_ref().filter(|_| self.reads) {
                    log.write(&record.to_json());
                }
            }
            Command::Open => {
                self.mark = dispatcher.next_seq();
                self.gate.open(dispatcher);
                let (replicas, lanes_held) = (self.coordinator.replicas(), self.coordinator.held());
                if replicas > 1 {
                    tracing::info!(code = "replicas_agreed", replicas, lanes_held, "begins to publish what waits");
                }
            }
            Command::Close => {
                dispatcher.connected(false);
                if let Some(log) = &self.log {
                    log.purge();
                }
            }
            Command::Hold(lanes) => {
                dispatcher.hold_lanes(lanes);
                self.mark = dispatcher.next_seq();
            }
            Command::CatchUp(ticket) => self.catch_up(ticket),
            Command::Follow(true) => {
                tracing::info!(code = "replica_found", replicas = self.coordinator.replicas(), "other replicas run");
                self.recollection.follow();
            }
            // Whoever comes back is followed already.
            Command::Follow(false) => {}
        }
    }

    fn catch_up(&self, ticket: u64) {
        let (recollection, caught_up) = (Arc::clone(&self.recollection), Arc::clone(&self.caught_up));
        let catch_up = move || {
            let end = Instant::now() + CATCH_UP;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() || recollection.catch_up(left) {
                    break;
                }
                std::thread::sleep(BUSY_WAIT);
            }
            caught_up.fetch_max(ticket, Ordering::SeqCst);
        };
        if std::thread::Builder::new().name("catch up".to_owned()).spawn(catch_up).is_err() {
            self.caught_up.fetch_max(ticket, Ordering::SeqCst);
        }
    }

    /// Shows the state, and follows as fast as it needs.
    fn show(&mut self) {
        let is_alone = self.coordinator.is_alone();
        self.gate.is_alone.store(is_alone, Ordering::SeqCst);
        let is_fast = !is_alone && (self.coordinator.is_busy() || !self.is_available);
        if std::mem::replace(&mut self.is_fast, is_fast) != is_fast {
            self.recollection.set_pace(if is_fast { Pace::Fast } else { Pace::Easy });
        }
        let (metrics, rounds) = (&self.metrics.replicas, self.coordinator.rounds());
        metrics.show(self.coordinator.replicas(), self.coordinator.held());
        metrics.rounds.inc_by(rounds - std::mem::replace(&mut self.rounds, rounds));
    }

    fn leave(&mut self) {
        for command in self.coordinator.leave() {
            if let Command::Write(body) = command
                && let Some(log) = self.log.as_ref().filter(|_| self.reads && self.is_available)
            {
                log.write(&Record { writer: self.coordinator.me(), body }.to_json());
                log.flush(LAST_RECORD);
            }
        }
    }
}
