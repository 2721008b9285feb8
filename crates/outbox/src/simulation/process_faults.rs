//! Faults of processes: breakers, crashes, shutdowns, and restarts from the journal.

use super::incarnation::Incarnation;
use super::machine::Machine;
use super::payload::{Payload, number};
use super::plan::{Fault, Kind};
use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::Seq;
use crate::event::{Publication, Recovered};

impl Scheduler<'_> {
    /// Starts a fault.
    pub(super) fn begin(&mut self, index: usize) {
        let Fault { kind, replica, length, detail, .. } = self.plan.faults[index];
        self.note(|| format!("  {:?}", self.plan.faults[index]));
        match kind {
            Kind::Outage => (0..self.plan.replicas).for_each(|replica| self.notice(replica, length)),
            Kind::Flap => {
                let incarnation = self.replicas[replica].incarnation();
                self.at(self.now, SimEvent::Connected(replica, incarnation, false));
                self.at(self.now + length, SimEvent::Connected(replica, incarnation, true));
            }
            Kind::Purge => self.purge(replica),
            Kind::Crash if detail == 0 => self.crash(replica, length),
            Kind::Crash => self.replicas[replica].crash_after = Some((detail, length)),
            Kind::Drain => self.drain(replica, length),
            Kind::Discard => self.discard(replica, detail),
            Kind::Redrive => {
                self.redrive(replica, detail);
                let incarnation = self.replicas[replica].incarnation();
                self.at(self.now + length, SimEvent::Redriven(replica, incarnation, detail));
            }
            Kind::Amnesia => self.forget_verdicts(replica),
            Kind::OtherCluster => self.replace_cluster(),
            Kind::HeldLanes => self.hold_some_lanes(index),
            Kind::ClosedPartitions => {
                for replica in 0..self.plan.replicas {
                    let incarnation = self.replicas[replica].incarnation();
                    self.at(self.now + length, SimEvent::ClosedLanesReleased(replica, incarnation));
                }
            }
            Kind::SecondRecordFails => {}
            // These are checked where they apply.
            Kind::LostReports | Kind::SlowBroker | Kind::NoRoom | Kind::DiskFails | Kind::DiskSlow => {}
            Kind::DiskFull | Kind::Unreadable | Kind::HangUps | Kind::LostAnswers => {}
        }
    }

    /// Plans when a replica notices an outage of this length, and when it notices the end.
    fn notice(&mut self, replica: usize, length: u64) {
        let incarnation = self.replicas[replica].incarnation();
        let mut rng = self.plan.sim_rng.on(About::Breaker, [replica as u64, self.now]);
        let (opened, closed) = (rng.time(2_200, 5_000), rng.time(300, 3_000));
        if opened < length + closed {
            self.at(self.now + opened, SimEvent::Connected(replica, incarnation, false));
        }
        // Also sent if the breaker never opened: the machine must accept that.
        self.at(self.now + length + closed, SimEvent::Connected(replica, incarnation, true));
    }

    /// A breaker opens or closes.
    pub(super) fn connected(&mut self, replica: usize, is: bool) {
        let there = &mut self.replicas[replica];
        there.current().connected = is;
        if is {
            there.current().closed.clear();
        }
        if let Some(machine) = &mut there.machine {
            machine.set_may_publish(is);
        }
        self.execute(replica);
    }

    /// The process crashes, and restarts after `pause`.
    pub(super) fn crash(&mut self, replica: usize, pause: u64) {
        if self.replicas[replica].machine.take().is_none() {
            return;
        }
        self.coverage.crashes += 1;
        let incarnation = self.replicas[replica].incarnation();
        let lucky = self.plan.sim_rng.on(About::Death, [replica as u64, incarnation as u64, 1]).bool();
        self.end(replica, incarnation, lucky, pause);
    }

    fn end(&mut self, replica: usize, incarnation: usize, lucky: bool, pause: u64) {
        self.note(|| format!("  r{replica} is gone"));
        let most = self.plan.journal;
        let there = &mut self.replicas[replica];
        there.machine = None;
        (there.crash_after, there.tick_at) = (None, None);
        there.disk.crash(lucky, most);
        // This can have been the last copy of an event that a former cluster had confirmed. No replica has promised to
        // keep it.
        for event in 0..self.oracle.specs.len() {
            if !self.is_kept(event) && !self.oracle.is_promised(event) {
                self.oracle.settle(event);
            }
        }
        self.lose_report(replica, incarnation);
        self.disconnect(replica);
        self.at(self.now + pause, SimEvent::Start(replica));
    }

    /// The process is asked to shut down.
    fn drain(&mut self, replica: usize, pause: u64) {
        let now = self.now;
        if !self.replicas[replica].accepts() {
            return;
        }
        let there = &mut self.replicas[replica];
        let deadline = now + self.plan.allowance;
        there.current().draining = Some((now, pause));
        let incarnation = there.incarnation();
        if let Some(machine) = &mut there.machine {
            machine.expire_deadlines(deadline);
        }
        for request in &mut self.oracle.requests {
            if (request.replica, request.incarnation) == (replica, incarnation) {
                request.deadline = request.deadline.min(deadline);
            }
        }
        self.execute(replica);
        self.at(deadline + self.plan.lateness(), SimEvent::Leave(replica, incarnation));
    }

    /// A process that was asked to shut down ends, once the journal has the remaining events, or rejects them.
    pub(super) fn leave(&mut self, replica: usize) {
        let (now, plan) = (self.now, self.plan);
        let there = &mut self.replicas[replica];
        let incarnation = there.incarnation();
        let (began, pause) = there.current().draining.unwrap_or_default();
        let Some(machine) = &mut there.machine else { return };
        let (waiting, (exposed, writing)) = (machine.waiting(), machine.not_durable());
        let tired = [Kind::DiskFails, Kind::DiskFull, Kind::DiskSlow];
        let tired = tired.iter().any(|kind| (began..=now).any(|at| plan.faulty(*kind, replica, at).is_some()));
        if writing > 0 && !tired {
            return self.at(now + 20, SimEvent::Leave(replica, incarnation));
        }
        let narrow = plan.journal != usize::MAX;
        self.ensure(waiting == 0, || format!("r{replica} ends, and {waiting} still wait for their answers"));
        self.ensure(exposed == 0 || tired || narrow, || format!("r{replica} ends and takes {exposed} events along"));
        self.end(replica, incarnation, true, pause);
    }

    /// Starts a process with the entries of its journal.
    pub(super) fn start(&mut self, replica: usize) {
        let plan = self.plan;
        if self.replicas[replica].machine.is_some() {
            return;
        }
        let mut incarnation = Incarnation::new(plan.events, plan.lanes);
        let there = &mut self.replicas[replica];
        let mut machine = Machine::new(plan.limits, self.defect);
        machine.outbox.coordinate_recoveries(plan.following);
        let entries: Vec<_> = there.disk.entries.iter().map(|(seq, payload)| (*seq, *payload)).collect();
        incarnation.cluster = self.oracle.cluster;
        for (seq, payload) in &entries {
            let event = payload.spec.event;
            incarnation.seqs.push((*seq, event));
            if incarnation.has_accepted(event) {
                continue;
            }
            incarnation.durable.push(*seq);
            incarnation.accept(event);
        }
        let recovered = |(seq, payload): &(Seq, Payload)| Recovered {
            seq: *seq,
            key: payload.spec.key(),
            lane: payload.spec.lane_key(),
            event_time: payload.spec.time,
            bytes: payload.bytes(),
        };
        machine.recover(entries.iter().map(recovered).collect(), Seq(there.disk.next));
        there.incarnations.push(incarnation);
        there.machine = Some(machine);
        self.look_at_the_recovered(replica);
        self.read_the_tail(replica);
        if let Some(outage) = plan.faulty(Kind::Outage, 0, self.now) {
            self.notice(replica, outage.at + outage.length - self.now);
        }
        let now = self.now;
        let closed = plan.faults.iter().filter(|fault| fault.kind == Kind::ClosedPartitions);
        for fault in closed.filter(|fault| (fault.at..fault.at + fault.length).contains(&now)) {
            let incarnation = self.replicas[replica].incarnation();
            self.at(fault.at + fault.length, SimEvent::ClosedLanesReleased(replica, incarnation));
        }
        self.execute(replica);
    }

    /// Checks that recovered events are in order of time, and those of the same time in order of acceptance.
    fn look_at_the_recovered(&mut self, replica: usize) {
        for lane in 0..self.plan.lanes {
            let Some(machine) = &self.replicas[replica].machine else { return };
            let found = machine.lane(super::payload::lane_key(lane));
            let order = found.iter().map(|(key, seq, _)| (self.oracle.specs[number(*key)].time, *seq));
            let sorted = order.is_sorted();
            self.replicas[replica].current().order[lane] = found.iter().map(|(key, ..)| number(*key)).collect();
            self.ensure(sorted, || format!("lane {lane} of the journal is out of order"));
        }
    }

    fn hold_some_lanes(&mut self, index: usize) {
        let Fault { replica, length, .. } = self.plan.faults[index];
        let mut rng = self.plan.sim_rng.on(About::Held, [self.plan.faults[index].at, replica as u64]);
        let lanes = (0..self.plan.lanes).filter(|_| rng.bool()).collect();
        self.hold_lanes(replica, lanes);
        let incarnation = self.replicas[replica].incarnation();
        self.at(self.now + length, SimEvent::LanesReleased(replica, incarnation));
    }

    /// Another replica publishes these lanes first.
    pub(super) fn hold_lanes(&mut self, replica: usize, lanes: Vec<usize>) {
        let there = &mut self.replicas[replica];
        let Some(machine) = &mut there.machine else { return };
        machine.hold_lanes(lanes.iter().map(|lane| super::payload::lane_key(*lane)).collect());
        let held = &mut there.current().held;
        held.fill(false);
        lanes.into_iter().for_each(|lane| held[lane] = true);
        self.execute(replica);
    }

    pub(super) fn release_closed_lanes(&mut self, replica: usize) {
        self.replicas[replica].current().closed.clear();
        if let Some(machine) = &mut self.replicas[replica].machine {
            machine.release_closed_lanes();
        }
        self.execute(replica);
    }

    /// The dedup cache has evicted its verdicts.
    fn forget_verdicts(&mut self, replica: usize) {
        let there = &mut self.replicas[replica];
        let Some(machine) = &mut there.machine else { return };
        machine.forget_verdicts();
        there.current().forgetful = true;
    }

    /// The operator has an event published now.
    pub(super) fn redrive(&mut self, replica: usize, event: u64) {
        let event = usize::try_from(event).unwrap_or_default();
        let there = &mut self.replicas[replica];
        if let Some(machine) = &mut there.machine {
            let outcome = machine.redrive(super::payload::key(event));
            // It is tried again even if its partition is closed.
            let Incarnation { closed, seqs, .. } = there.current();
            closed.retain(|handle| !seqs.contains(&(handle.seq, event)));
            self.note(|| format!("  event {event} is redriven: {outcome:?}"));
        }
        self.execute(replica);
    }

    /// The operator discards an event.
    fn discard(&mut self, replica: usize, event: u64) {
        let event = usize::try_from(event).unwrap_or_default();
        let there = &mut self.replicas[replica];
        let Some(machine) = &mut there.machine else { return };
        if machine.discard(super::payload::key(event)) {
            there.current().discard(event);
            self.oracle.release(event, replica);
        }
        self.execute(replica);
    }
}
