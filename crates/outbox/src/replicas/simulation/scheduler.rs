//! The simulated environment: a topic with delays, event topics, outages, kills, and the invariants.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{Event, Node, Process, View};
use super::partition::NEVER;
use super::plan::{Defect, Plan};
use crate::replicas::ReplicaId;
use crate::replicas::coordinator::Command;
use crate::replicas::record::{Body, Record};
use crate::{LaneKey, Millis};

/// The step of the simulated clock.
pub(super) const STEP: Millis = 20;

/// How long Kafka is unavailable.
pub(super) const OUTAGE: std::ops::Range<Millis> = 10_000..30_000;

/// The number of events during the outage.
pub(super) const LATE_EVENTS: usize = 80;

/// The lanes of late events: some of those of the outage, and as many others.
pub(super) const LATE_LANES: std::ops::Range<u64> = 6..18;

/// When the last fault is over.
const FAULTS: Millis = 60_000;

/// When everything must be published and released.
const END: Millis = 180_000;

/// How long a replica may wait after Kafka is available before it publishes.
const LONGEST_WAIT: Millis = 12_100;

pub(super) struct Scheduler {
    pub(super) plan: Plan,
    pub(super) rng: fastrand::Rng,
    pub(super) now: Millis,
    pub(super) nodes: Vec<Node>,
    /// The coordination topic: when each record was appended.
    log: Vec<(Millis, Record)>,
    /// The records of the event topics: time, lane and event.
    pub(super) published: Vec<(Millis, LaneKey, Event)>,
    /// The replicas that have accepted an event.
    pub(super) accepted: BTreeMap<(LaneKey, Event), BTreeSet<ReplicaId>>,
    /// The replicas that have accepted an event while they withheld its lane.
    pub(super) filled: BTreeMap<(LaneKey, Event), BTreeSet<ReplicaId>>,
    /// Late events that are still to be sent: time, lane, event, and the number of earlier attempts.
    pub(super) late: Vec<(Millis, LaneKey, Event, usize)>,
    processes: u64,
}

impl Scheduler {
    pub(super) fn new(plan: Plan) -> Self {
        let nodes = (1..=plan.replicas).map(|id| Node {
            id: ReplicaId(id),
            process: None,
            waiting: BTreeMap::new(),
            reaches: true,
            paused_until: 0,
            restart_at: 0,
        });
        Self {
            plan,
            rng: fastrand::Rng::with_seed(plan.seed),
            now: 0,
            nodes: nodes.collect(),
            log: Vec::new(),
            published: Vec::new(),
            accepted: BTreeMap::new(),
            filled: BTreeMap::new(),
            late: Vec::new(),
            processes: 0,
        }
    }

    /// Runs the schedule to its end. Returns how many late events are published twice.
    pub(super) fn run(mut self) -> Result<usize, String> {
        while self.now < END {
            self.now += STEP;
            self.arrivals();
            self.late_arrivals();
            self.faults();
            for at in 0..self.nodes.len() {
                if self.now >= self.nodes[at].paused_until {
                    self.step(at)?;
                }
            }
            self.follow();
        }
        self.finally()
    }

    fn faults(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if node.process.is_none() && self.now >= node.restart_at {
                self.processes += 1;
                let mut process = Process::new(node.id, self.processes);
                process.availability_change = Some((self.now + self.rng.u64(0..1000), node.reaches));
                node.process = Some(process);
            }
            let due = (OUTAGE.start + 5000..FAULTS).contains(&self.now) && self.rng.u32(0..4000) == 0;
            if !self.plan.faults || !due {
                continue;
            }
            match self.rng.u8(0..3) {
                0 => {
                    let flights = node.process.take().map(|process| process.flights).unwrap_or_default();
                    for (due, lane, event) in flights {
                        node.waiting.entry(lane).or_default().insert(event);
                        if due != NEVER && self.rng.bool() {
                            self.published.push((self.now, lane, event));
                        }
                    }
                    node.restart_at = self.now + self.rng.u64(200..15_000);
                }
                1 => node.paused_until = self.now + self.rng.u64(100..20_000),
                _ if !OUTAGE.contains(&self.now) => {
                    node.reaches = !node.reaches;
                    if let Some(process) = &mut node.process {
                        process.availability_change = Some((self.now + self.rng.u64(0..2000), node.reaches));
                    }
                }
                _ => {}
            }
        }
        if self.now == FAULTS {
            for node in self.nodes.iter_mut().filter(|node| !node.reaches) {
                node.reaches = true;
                if let Some(process) = &mut node.process {
                    process.availability_change = Some((self.now + 500, true));
                }
            }
        }
    }

    fn step(&mut self, at: usize) -> Result<(), String> {
        let (now, reaches) = (self.now, self.nodes[at].reaches);
        let Some(process) = self.nodes[at].process.as_mut() else { return Ok(()) };
        if let Some((_, available)) = process.availability_change.take_if(|(due, _)| *due <= now) {
            process.coordinator.available(available, now);
            (process.available, process.available_since) = (available, available.then_some(now));
            *process.current.borrow_mut() = None;
        }
        if reaches {
            let delay = self.rng.u64(0..80);
            while let Some((_, record)) = self.log.get(process.read).filter(|(at, _)| at + delay <= now) {
                process.coordinator.apply(record, process.read as i64);
                process.read += 1;
            }
        }
        self.watch_partition(at)?;
        self.land(at);
        let commands = self.ask(at);
        for command in commands {
            self.execute(at, command);
        }
        self.publish(at)?;
        let node = &self.nodes[at];
        let waits = node.process.as_ref().and_then(|process| process.available_since.filter(|_| !process.open));
        if waits.is_some_and(|since| now > since.max(node.paused_until) + LONGEST_WAIT) {
            return Err(format!("{now}: {:?} waits too long", node.id));
        }
        Ok(())
    }

    /// Delivers what is due: reports, finished reads of the event topics, and records that reach the topic.
    fn land(&mut self, at: usize) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let Some(process) = node.process.as_mut().filter(|_| node.reaches) else { return };
        for (_, lane, event) in process.flights.extract_if(.., |(due, ..)| *due <= now) {
            self.published.push((now, lane, event));
            process.known.insert(event);
        }
        for (_, ticket, upto) in process.catching_up.extract_if(.., |(due, ..)| *due <= now) {
            process.caught_up = process.caught_up.max(ticket);
            for (_, lane, event) in &self.published[..upto] {
                node.waiting.entry(*lane).or_default().remove(event);
                process.known.insert(*event);
            }
        }
        let writer = process.coordinator.me();
        for (_, body) in process.writes.extract_if(.., |(due, _)| *due <= now) {
            self.log.push((now, Record { writer, body }));
        }
    }

    fn ask(&mut self, at: usize) -> Vec<Command> {
        let (node, end) = (&mut self.nodes[at], self.log.len());
        let Some(process) = node.process.as_mut() else { return Vec::new() };
        let target = *process.current.borrow_mut().get_or_insert(end);
        let view = View {
            waiting: &node.waiting,
            flights: &process.flights,
            held: &process.held,
            closed: &process.closed,
            mark: process.mark,
            caught_up: process.caught_up,
            current: node.reaches && process.read >= target,
        };
        let frozen = self.plan.defect == Some(Defect::WaitsForEver) && !process.open;
        process.coordinator.step(if frozen { process.available_since.unwrap_or(self.now) } else { self.now }, &view)
    }

    fn execute(&mut self, at: usize, command: Command) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let Some(process) = node.process.as_mut() else { return };
        match command {
            Command::Write(Body::Done { .. }) if self.plan.defect == Some(Defect::NeverDone) => {}
            Command::Write(Body::Extend { .. }) if self.plan.defect == Some(Defect::ExtendsNothing) => {}
            // Records arrive in order, and are lost while the topic cannot be reached.
            Command::Write(body) => {
                let due = process.writes.last().map_or(0, |(due, _)| *due).max(now + self.rng.u64(0..80));
                if node.reaches {
                    process.writes.push((due, body));
                }
            }
            Command::StartPublishing => {
                (process.open, process.available_since, process.mark) = (true, None, now);
                process.closed.clear();
            }
            Command::Recover if self.plan.defect == Some(Defect::NeverRecovers) => {}
            Command::Recover => {
                process.mark = now;
                process.closed.clear();
            }
            Command::StopPublishing => {
                (process.open, process.available_since) = (false, process.available.then_some(now))
            }
            Command::Hold(lanes) => {
                if self.plan.defect != Some(Defect::HoldsNothing) {
                    (process.held, process.mark) = (lanes, now);
                }
            }
            Command::CatchUp(ticket) => {
                let upto = if self.plan.defect == Some(Defect::LearnsNothing) { 0 } else { self.published.len() };
                process.catching_up.push((now + self.rng.u64(20..300), ticket, upto));
            }
            Command::Follow(follows) => process.follows = follows,
        }
    }

    /// Publishes the first event of some lanes, and checks that no other replica does.
    fn publish(&mut self, at: usize) -> Result<(), String> {
        let now = self.now;
        let Some(process) = self.nodes[at].process.as_ref().filter(|process| process.open) else { return Ok(()) };
        let free = |lane: &LaneKey| !process.waits(*lane) && process.flights.iter().all(|(_, other, _)| other != lane);
        let heads = self.nodes[at].waiting.iter().filter(|(lane, _)| free(lane));
        let heads: Vec<_> = heads.filter_map(|(lane, events)| Some((*lane, *events.first()?))).collect();
        for (lane, event) in heads {
            if self.rng.u8(0..4) != 0 {
                continue;
            }
            if let Some(other) = self.others_replay(at, lane) {
                return Err(format!("{now}: {:?} and {other:?} both replay {lane:?}", self.nodes[at].id));
            }
            if let Some(other) = self.others_replay_filled(at, lane, event) {
                return Err(format!("{now}: {:?} and {other:?} both replay what filled {lane:?}", self.nodes[at].id));
            }
            let (is_down, is_affected, due) = (self.is_down(lane), self.is_affected(lane), now + self.rng.u64(5..60));
            let node = &mut self.nodes[at];
            if let Some(process) = node.process.as_mut()
                && let Some(due) = process.hand_over(lane, (is_affected, is_down), due)
            {
                node.waiting.entry(lane).or_default().remove(&event);
                process.flights.push((due, lane, event));
            }
        }
        Ok(())
    }

    /// Passes published events to the replicas that follow.
    fn follow(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.reaches && node.paused_until <= self.now) {
            if let Some(process) = node.process.as_mut().filter(|process| process.follows)
                && self.rng.u8(0..10) == 0
            {
                for (at, lane, event) in self.published.iter().rev().take(200) {
                    if at + 200 <= self.now {
                        process.known.insert(*event);
                        node.waiting.entry(*lane).or_default().remove(event);
                    }
                }
            }
        }
    }
}
