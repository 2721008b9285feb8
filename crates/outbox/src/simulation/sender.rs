//! IDaaS: sends a callback, waits for its answer, and sends the events again that it is asked for, or all of them if
//! no answer came.

use std::sync::Arc;

use super::oracle::SimRequest;
use super::payload::{EventSpec, Number, lane_key, number};
use super::plan::Kind;
use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::event::NewEvent;
use crate::machine::{Admitted, Deadlines};
use crate::verdict::Verdict;
use crate::{FailureCode, Millis};

/// Intervals between the attempts.
const SCHEDULE: [Millis; 5] = [1_000, 5_000, 10_000, 10_000, 10_000];

/// How long the sender waits for an answer.
const TIMEOUT: Millis = 10_000;

/// The state of one callback.
pub(super) struct Sender {
    /// Events without a final verdict.
    rest: Vec<Number>,
    attempt: usize,
    /// The request whose answer the sender waits for.
    waits: Option<usize>,
}

impl Sender {
    pub(super) const fn new(events: Vec<Number>) -> Self {
        Self { rest: events, attempt: 0, waits: None }
    }
}

impl Scheduler<'_> {
    /// Sends a callback to one of the replicas.
    pub(super) fn send(&mut self, callback: usize) {
        let attempt = self.senders[callback].attempt;
        let number = self.plan.callbacks[callback].number;
        let mut rng = self.plan.sim_rng.on(About::Choice, [number, attempt as u64]);
        let replica = rng.usize(0..self.plan.replicas);
        if !self.replicas[replica].accepts() {
            return self.send_again(callback);
        }
        let request = self.admit(replica, callback);
        self.senders[callback].waits = Some(request);
        let impatient = self.plan.faulty(Kind::HangUps, 0, self.now).is_some();
        let mut rng = self.plan.sim_rng.on(About::HangUp, [number, attempt as u64]);
        let timeout = if impatient { rng.time(200, TIMEOUT) } else { TIMEOUT };
        self.at(self.now + timeout, SimEvent::HangUp(request));
    }

    fn admit(&mut self, replica: usize, callback: usize) -> usize {
        let (plan, now) = (self.plan, self.now);
        let request = self.oracle.requests.len();
        let events = self.senders[callback].rest.clone();
        let incarnation = self.replicas[replica].incarnation();
        let deadline = now + plan.answer;
        let specs = events.iter().map(|event| self.oracle.specs[*event]);
        let prompt = plan.faulty(Kind::ClosedPartitions, 0, now).is_some();
        let new_event = |spec: EventSpec| NewEvent {
            key: spec.key(),
            lane: spec.lane_key(),
            event_time: spec.time,
            obstacle: prompt.then_some(FailureCode::PartitionUnavailable),
            publication: Arc::new(spec.first()),
        };
        let new_events: Vec<_> = specs.map(new_event).collect();
        let deadlines = Deadlines { write: deadline - plan.allowance, answer: deadline };
        let Some(machine) = self.replicas[replica].machine.as_mut() else { return request };
        let roomy = machine.has_room(&new_events);
        let (id, admitted) = machine.admit(new_events, request, deadlines);
        let known = admitted.iter().map(|what| match what {
            Admitted::New | Admitted::Joined => None,
            Admitted::Known(verdict) => Some(*verdict),
        });
        self.oracle.requests.push(SimRequest {
            callback,
            attempt: self.senders[callback].attempt,
            replica,
            incarnation,
            known: known.collect(),
            events: events.clone(),
            admitted_at: now,
            deadline,
            id: Some(id),
            answered: false,
            abandoned: false,
        });
        self.oracle.open.push(request);
        self.note(|| format!("  r{replica} d{request} {events:?}: {admitted:?}"));
        self.admitted(replica, &events, &admitted, roomy);
        let new = events.iter().zip(&admitted).filter(|(_, what)| **what == Admitted::New).map(|(event, _)| *event);
        self.look_at_the_order(replica, &new.collect::<Vec<_>>());
        self.execute(replica);
        request
    }

    /// Checks the results of an admission.
    fn admitted(&mut self, replica: usize, events: &[Number], admitted: &[Admitted], roomy: bool) {
        self.ensure(events.len() == admitted.len(), || "an event has no admission result".to_owned());
        let mut fenced = Vec::new();
        for (event, what) in events.iter().zip(admitted) {
            let lane = self.oracle.specs[*event].lane;
            let incarnation = self.replicas[replica].current();
            let said = incarnation.finals[*event].filter(|_| !incarnation.forgetful);
            match what {
                Admitted::New => {
                    incarnation.accept(*event);
                    self.ensure(said.is_none(), || format!("event {event} has a verdict, and is admitted as new"));
                    self.ensure(!fenced.contains(&lane), || format!("event {event} passes one that found no room"));
                }
                Admitted::Joined => {
                    self.ensure(said.is_none(), || format!("event {event} has a verdict, and is joined"));
                }
                Admitted::Known(Verdict::Overloaded) => {
                    fenced.push(lane);
                    self.ensure(!roomy, || format!("event {event} is rejected although there is room"));
                }
                Admitted::Known(verdict) => {
                    self.ensure(said.is_none_or(|said| said == *verdict), || format!("event {event}: two verdicts"));
                }
            }
        }
    }

    /// Checks that new events have the right places in their lanes.
    pub(super) fn look_at_the_order(&mut self, replica: usize, new: &[Number]) {
        for lane in 0..self.plan.lanes {
            let there = &mut self.replicas[replica];
            let Some(machine) = &there.machine else { return };
            let found = machine.lane(lane_key(lane));
            let sorted = !there.incarnations.last().is_some_and(|incarnation| incarnation.connected);
            let incarnation = there.current();
            let old = std::mem::take(&mut incarnation.order[lane]);
            let events: Vec<_> = found.iter().map(|(key, _, passable)| (number(*key), *passable)).collect();
            incarnation.order[lane] = events.iter().map(|(event, _)| *event).collect();
            let is_old = |event: &Number| old.contains(event) && !new.contains(event);
            let kept: Vec<_> = incarnation.order[lane].iter().copied().filter(is_old).collect();
            let before: Vec<_> = old.iter().copied().filter(|event| kept.contains(event)).collect();
            self.ensure(kept == before, || format!("the order changed from {before:?} to {kept:?}"));
            let time = |event: Number| self.oracle.specs[event].time;
            let mut misplaced = None;
            for (position, (event, _)) in events.iter().enumerate().filter(|(_, (event, _))| !is_old(event)) {
                let passed = events[position + 1..].iter().filter(|(other, _)| is_old(other));
                let legal = |(other, passable): &(Number, bool)| *passable && time(*other) > time(*event);
                let last = position.checked_sub(1).map(|before| events[before]);
                let early = last.is_none_or(|last| !legal(&last)) || !sorted;
                if !passed.copied().all(|other| legal(&other)) || !early {
                    misplaced = Some(*event);
                }
            }
            self.ensure(misplaced.is_none(), || format!("{misplaced:?} is misplaced among {events:?}"));
        }
    }

    /// A sender stops waiting.
    pub(super) fn hang_up(&mut self, request: usize) {
        let SimRequest { callback, replica, incarnation, attempt, id, answered, .. } = self.oracle.requests[request];
        if self.senders[callback].waits != Some(request) {
            return;
        }
        self.senders[callback].waits = None;
        // Not every disconnect is noticed.
        let seen = self.plan.sim_rng.on(About::HangUp, [callback as u64, attempt as u64, 1]).permille(700);
        if seen && !answered && self.replicas[replica].is_alive(incarnation) {
            self.oracle.requests[request].abandoned = true;
            if let (Some(machine), Some(id)) = (self.replicas[replica].machine.as_mut(), id) {
                machine.cancel(id);
            }
            self.execute(replica);
        }
        self.send_again(callback);
    }

    /// An answer has been sent.
    pub(super) fn answer_left(&mut self, request: usize, verdicts: &[Verdict]) {
        let SimRequest { callback, replica, .. } = self.oracle.requests[request];
        if self.plan.faulty(Kind::LostAnswers, replica, self.now).is_some() {
            return;
        }
        if self.senders[callback].waits != Some(request) {
            return;
        }
        self.senders[callback].waits = None;
        let answered = self.oracle.requests[request].events.iter().zip(verdicts);
        let rest: Vec<_> = answered.filter(|(_, verdict)| !verdict.is_final()).map(|(event, _)| *event).collect();
        self.senders[callback].rest = rest;
        self.send_again(callback);
    }

    /// The connections to a replica are lost.
    pub(super) fn disconnect(&mut self, replica: usize) {
        for callback in 0..self.senders.len() {
            let Some(request) = self.senders[callback].waits else { continue };
            if self.oracle.requests[request].replica == replica {
                self.senders[callback].waits = None;
                self.send_again(callback);
            }
        }
    }

    fn send_again(&mut self, callback: usize) {
        let sender = &mut self.senders[callback];
        let Some(pause) = SCHEDULE.get(sender.attempt).filter(|_| !sender.rest.is_empty()) else { return };
        sender.attempt += 1;
        self.at(self.now + pause, SimEvent::Send(callback));
    }
}
