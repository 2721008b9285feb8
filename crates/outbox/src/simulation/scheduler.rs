//! The scheduler: selects the next event, and checks all invariants after it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::broker::Flight;
use super::coverage::Coverage;
use super::defects::Defect;
use super::disk::CommitResult;
use super::oracle::Oracle;
use super::payload::EventSpec;
use super::plan::Plan;
use super::replica::{HandedOver, Replica};
use super::rng::About;
use super::sender::Sender;
use crate::{EventHandle, Millis};

/// How long after the last fault and the last request everything must be done, in milliseconds: a record's two
/// minutes, a minute for an entry that could not be read, the longest back-off, and a margin.
const MAX_SETTLE_TIME: Millis = 240_000;

/// Additional time for each event, because the events of a lane go one after the other.
const MAX_SETTLE_TIME_PER_EVENT: Millis = 10_000;

/// Maximum number of steps of a schedule.
const MAX_STEPS: u64 = 1_000_000;

/// A planned event. A replica's number is followed by the number of its incarnation: events of a process that has
/// ended are skipped.
#[derive(Debug)]
pub(super) enum SimEvent {
    Send(usize),
    /// A sender has waited long enough.
    HangUp(usize),
    Land(usize),
    Report(usize),
    /// A producer repeats a report on an event that is resolved.
    Repeat(usize),
    Commit(usize, usize),
    CommitResult(usize, usize, CommitResult),
    Read(usize, usize, EventHandle),
    Tick(usize, usize),
    /// Another thread executes its commands.
    Execute(usize, usize, HandedOver),
    Learn(usize, usize, usize),
    LearnRecord(usize, usize, usize, u8),
    ClusterNoticed(usize, usize),
    LanesReleased(usize, usize),
    ClosedLanesReleased(usize, usize),
    Redriven(usize, usize, u64),
    Release(usize, usize),
    Connected(usize, usize, bool),
    Begin(usize),
    /// A process that shuts down checks whether it can end.
    Leave(usize, usize),
    Start(usize),
}

struct Due {
    at: Millis,
    tie: u64,
    what: SimEvent,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// Reversed, because the heap returns the greatest element first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.tie).cmp(&(self.at, self.tie))
    }
}

/// The state of the simulation.
pub(super) struct Scheduler<'a> {
    pub(super) plan: &'a Plan,
    pub(super) defect: Option<Defect>,
    pub(super) now: Millis,
    due: BinaryHeap<Due>,
    scheduled: u64,
    pub(super) replicas: Vec<Replica>,
    pub(super) oracle: Oracle,
    pub(super) flights: Vec<Flight>,
    pub(super) senders: Vec<Sender>,
    /// The replicas that this step has affected.
    pub(super) touched: Vec<usize>,
    pub(super) coverage: Coverage,
    pub(super) violation: Option<String>,
    /// The log of the schedule, if it is requested.
    pub(super) story: Option<Vec<String>>,
}

impl<'a> Scheduler<'a> {
    pub(super) fn new(plan: &'a Plan, defect: Option<Defect>, tell: bool) -> Self {
        let specs = (0..plan.events).map(|event| EventSpec::of(plan.sim_rng, event, plan.lanes)).collect();
        let mut world = Self {
            plan,
            defect,
            now: 0,
            due: BinaryHeap::new(),
            scheduled: 0,
            replicas: (0..plan.replicas).map(|_| Replica::default()).collect(),
            oracle: Oracle::new(specs),
            flights: Vec::new(),
            senders: plan.callbacks.iter().map(|callback| Sender::new(callback.events.clone())).collect(),
            touched: Vec::new(),
            coverage: Coverage::default(),
            violation: None,
            story: tell.then(Vec::new),
        };
        for replica in 0..plan.replicas {
            world.start(replica);
        }
        for (index, callback) in plan.callbacks.iter().enumerate() {
            world.at(callback.at, SimEvent::Send(index));
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            world.at(fault.at, SimEvent::Begin(index));
        }
        world
    }

    /// Runs the schedule.
    ///
    /// # Errors
    /// The violated invariant, and the number of steps before it.
    pub(super) fn run(mut self) -> Result<Coverage, Violation> {
        let mut steps = 0;
        let mut last = 0;
        let settle_time = MAX_SETTLE_TIME + MAX_SETTLE_TIME_PER_EVENT * self.plan.events as Millis;
        while self.violation.is_none()
            && let Some(Due { at, what, .. }) = self.due.pop()
        {
            self.now = at;
            if matches!(what, SimEvent::Send(_) | SimEvent::Begin(_) | SimEvent::Start(_)) {
                last = at.max(self.plan.calm());
            }
            // An event that still waits now waits forever. A machine's next tick can be due much later, with nothing
            // to do.
            if at > last + settle_time {
                break;
            }
            steps += 1;
            self.ensure(steps < MAX_STEPS, || "the schedule does not end".to_owned());
            self.note(|| format!("{what:?}"));
            self.handle(what);
            self.check_invariants();
        }
        if self.violation.is_none() {
            self.check_final_state();
        }
        match self.violation {
            Some(what) => Err(Violation { what, steps, story: self.story.unwrap_or_default() }),
            None => {
                self.coverage.steps = steps;
                self.coverage.requests = self.oracle.requests.len() as u64;
                self.coverage.records = self.flights.len() as u64;
                self.coverage.duplicates = self.oracle.duplicates;
                Ok(self.coverage)
            }
        }
    }

    fn handle(&mut self, what: SimEvent) {
        match what {
            SimEvent::Send(callback) => self.send(callback),
            SimEvent::HangUp(request) => self.hang_up(request),
            SimEvent::Land(flight) => self.land(flight),
            SimEvent::Report(flight) => self.report(flight),
            SimEvent::Repeat(flight) => self.repeat(flight),
            SimEvent::Commit(replica, incarnation) => {
                self.if_alive(replica, incarnation, |world| world.commit(replica))
            }
            SimEvent::CommitResult(replica, incarnation, result) => {
                self.if_alive(replica, incarnation, |world| world.commit_result(replica, result))
            }
            SimEvent::Read(replica, incarnation, handle) => {
                self.if_alive(replica, incarnation, |world| world.read(replica, handle))
            }
            SimEvent::Tick(replica, incarnation) => self.if_alive(replica, incarnation, |world| world.tick(replica)),
            SimEvent::Execute(replica, incarnation, handed) => {
                self.if_alive(replica, incarnation, |world| world.execute_late(replica, handed));
            }
            SimEvent::Learn(replica, incarnation, event) => {
                self.if_alive(replica, incarnation, |world| world.learn(replica, event))
            }
            SimEvent::LearnRecord(replica, incarnation, event, record) => {
                self.if_alive(replica, incarnation, |world| world.learn_record(replica, event, record));
            }
            SimEvent::Redriven(replica, incarnation, event) => {
                self.if_alive(replica, incarnation, |world| world.redrive(replica, event));
            }
            SimEvent::ClusterNoticed(replica, incarnation) => {
                self.if_alive(replica, incarnation, |world| world.notice_cluster(replica));
            }
            SimEvent::LanesReleased(replica, incarnation) => {
                self.if_alive(replica, incarnation, |world| world.hold_lanes(replica, Vec::new()));
            }
            SimEvent::ClosedLanesReleased(replica, incarnation) => {
                self.if_alive(replica, incarnation, |world| world.release_closed_lanes(replica));
            }
            SimEvent::Release(replica, incarnation) => {
                self.if_alive(replica, incarnation, |world| world.release(replica))
            }
            SimEvent::Connected(replica, incarnation, is) => {
                self.if_alive(replica, incarnation, |world| world.connected(replica, is));
            }
            SimEvent::Begin(fault) => self.begin(fault),
            SimEvent::Leave(replica, incarnation) => self.if_alive(replica, incarnation, |world| world.leave(replica)),
            SimEvent::Start(replica) => self.start(replica),
        }
    }

    fn if_alive(&mut self, replica: usize, incarnation: usize, what: impl FnOnce(&mut Self)) {
        if self.replicas[replica].is_alive(incarnation) {
            what(self);
        }
    }

    /// Plans an event. Events at the same time happen in random order.
    pub(super) fn at(&mut self, at: Millis, what: SimEvent) {
        let at = at.max(self.now);
        self.scheduled += 1;
        let tie = self.plan.sim_rng.number(About::Tie, self.scheduled);
        self.due.push(Due { at, tie, what });
    }

    pub(super) fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(format!("at {} ms: {}", self.now, what()));
        }
    }

    pub(super) fn ensure(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violate(what);
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>8} {}", self.now, what()));
        }
    }
}

/// A violated invariant.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) what: String,
    pub(super) steps: u64,
    pub(super) story: Vec<String>,
}
