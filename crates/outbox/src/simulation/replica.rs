//! One process: executes the commands of its machine, and reports the results to it.

use super::disk::Disk;
use super::incarnation::Incarnation;
use super::machine::Machine;
use super::payload::Payload;
use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::machine::Command;
use crate::verdict::Verdict;
use crate::{CompletedRequest, Millis};

/// Maximum delay of a command, in milliseconds.
pub(super) const LATE: Millis = 5;

/// Commands that another thread executes later.
pub(super) struct HandedOver(Vec<Command<Payload, usize>>);

impl std::fmt::Debug for HandedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

/// A replica, with or without a running process.
#[derive(Default)]
pub(super) struct Replica {
    /// `None` while there is no process.
    pub(super) machine: Option<Machine>,
    pub(super) incarnations: Vec<Incarnation>,
    pub(super) disk: Disk,
    /// When the next tick is due.
    pub(super) tick_at: Option<Millis>,
    /// After this many more commands the process is killed, and stays down for this long.
    pub(super) crash_after: Option<(u64, Millis)>,
}

impl Replica {
    /// The number of the current or last incarnation.
    pub(super) const fn incarnation(&self) -> usize {
        self.incarnations.len().saturating_sub(1)
    }

    pub(super) const fn is_alive(&self, incarnation: usize) -> bool {
        self.machine.is_some() && self.incarnation() == incarnation
    }

    /// Returns true if it accepts callbacks.
    pub(super) fn accepts(&self) -> bool {
        self.machine.is_some() && self.incarnations.last().is_some_and(|incarnation| incarnation.draining.is_none())
    }

    pub(super) fn current(&mut self) -> &mut Incarnation {
        let incarnation = self.incarnation();
        &mut self.incarnations[incarnation]
    }
}

impl Scheduler<'_> {
    /// Executes the commands of a machine until there are no more. Sometimes another thread does it, a little later.
    pub(super) fn execute(&mut self, replica: usize) {
        self.touched.push(replica);
        while let Some(machine) = &mut self.replicas[replica].machine {
            let commands = machine.commands();
            if commands.is_empty() {
                break;
            }
            let mut rng = self.plan.sim_rng.on(About::Thread, [replica as u64, self.now, commands.len() as u64]);
            if rng.permille(self.plan.threads) {
                let (incarnation, later) = (self.replicas[replica].incarnation(), self.now + rng.u64(0..=LATE));
                self.at(later, SimEvent::Execute(replica, incarnation, HandedOver(commands)));
                break;
            }
            self.carry_out(replica, commands);
        }
        self.begin_commit(replica);
        self.plan_tick(replica);
    }

    /// Another thread executes its commands.
    pub(super) fn execute_late(&mut self, replica: usize, HandedOver(commands): HandedOver) {
        self.carry_out(replica, commands);
        self.execute(replica);
    }

    fn carry_out(&mut self, replica: usize, commands: Vec<Command<Payload, usize>>) {
        let (mut failed, mut cancelled) = (Vec::new(), Vec::new());
        for command in commands {
            if self.dies(replica) {
                return;
            }
            match command {
                Command::Produce(handle, payload, confirmed) => {
                    self.note(|| format!("  r{replica} produce {handle:?} {payload:?} but {confirmed:b}"));
                    let reports = self.produce(replica, handle, &payload, confirmed);
                    failed.extend(reports.into_iter().map(|(record, report)| (handle, record, report)));
                }
                Command::Write(handle, payload) => self.write(replica, handle, &payload),
                Command::Delete(seq) => self.forget(replica, seq),
                Command::Cancel(seq) => cancelled.extend(self.replicas[replica].disk.cancel(seq).then_some(seq)),
                Command::Load(handle) => self.load(replica, handle),
                Command::Answer(finished) => self.answer(replica, &finished),
            }
        }
        let now = self.now;
        if let Some(machine) = &mut self.replicas[replica].machine {
            failed.into_iter().for_each(|(handle, record, report)| machine.report(handle, record, report, now));
            machine.written(cancelled);
        }
    }

    /// Crashes the process if it must end before its next command. Returns true if so.
    fn dies(&mut self, replica: usize) -> bool {
        match &mut self.replicas[replica].crash_after {
            None => false,
            Some((0, pause)) => {
                let pause = *pause;
                self.crash(replica, pause);
                true
            }
            Some((left, _)) => {
                *left -= 1;
                false
            }
        }
    }

    fn answer(&mut self, replica: usize, finished: &CompletedRequest<usize>) {
        let CompletedRequest { waiter: request, verdicts } = finished;
        self.note(|| format!("  r{replica} answer d{request} {verdicts:?}"));
        let there = &self.oracle.requests[*request];
        let (events, known, answered, abandoned) =
            (there.events.clone(), there.known.clone(), there.answered, there.abandoned);
        let admitted_at = there.admitted_at;
        let late = self.now.saturating_sub(there.deadline);
        let tick = self.plan.lateness();
        self.oracle.requests[*request].answered = true;
        self.ensure(!answered, || format!("request {request} is answered twice"));
        // The answer can have been on another thread.
        let under_way = self.plan.threads > 0;
        self.ensure(!abandoned || under_way, || format!("request {request} is answered, and nobody waits for it"));
        self.ensure(late <= tick, || format!("request {request} is answered {late} ms late"));
        self.ensure(verdicts.len() == events.len(), || format!("request {request} is not answered for each event"));
        for ((event, verdict), known) in events.iter().zip(verdicts).zip(known) {
            self.say(replica, *event, *verdict, (known, admitted_at));
        }
        self.answer_left(*request, verdicts);
    }

    /// Checks a verdict that is answered, and records it.
    fn say(&mut self, replica: usize, event: usize, verdict: Verdict, (known, admitted_at): (Option<Verdict>, Millis)) {
        self.coverage.count(verdict);
        let there = &mut self.replicas[replica];
        match verdict {
            Verdict::Confirmed | Verdict::DeadLettered(_) => {
                // Decided before it was known that another cluster answers.
                let incarnation = there.current();
                let unnoticed = incarnation.cluster < self.oracle.cluster || admitted_at <= incarnation.noticed_at;
                let former = (unnoticed || self.plan.threads > 0) && self.oracle.formerly[event];
                let earned = self.oracle.earned(event, verdict) || former;
                let incarnation = there.current();
                let said = if admitted_at > incarnation.noticed_at || incarnation.noticed_at == 0 {
                    incarnation.finals[event].replace(verdict)
                } else {
                    None
                };
                self.ensure(earned, || format!("event {event} is answered {verdict:?}, and is not"));
                if former && !self.is_kept(event) {
                    self.oracle.settle(event);
                }
                self.ensure(said.is_none_or(|said| said == verdict), || format!("event {event}: two final verdicts"));
            }
            Verdict::NotConfirmed => {
                // The operator may have discarded it between the verdict and the answer.
                let is_discarded = there.current().operator_touched[event];
                let kept = there.disk.has(event) || self.oracle.is_complete(event) || self.oracle.formerly[event];
                // Confirmed by a former cluster, after the verdict and before the answer.
                let gone = there.machine.as_ref().is_none_or(|machine| !machine.has(super::payload::key(event)));
                let before = admitted_at <= there.current().noticed_at;
                let settled = self.oracle.formerly[event] && (gone || before);
                let incarnation = there.current();
                let durable = incarnation.durable.iter().any(|seq| incarnation.event_at(*seq) == Some(event));
                if !settled && (!is_discarded || durable) {
                    self.oracle.promise(event, replica);
                }
                self.ensure(kept || is_discarded, || format!("event {event} is answered as durable, and is not"));
            }
            Verdict::Overloaded if known.is_none() => {
                let incarnation = there.current();
                let durable = incarnation.durable.iter().any(|seq| incarnation.event_at(*seq) == Some(event));
                let (asked, is_discarded) = (incarnation.requested[event], incarnation.operator_touched[event]);
                let excused = is_discarded || incarnation.refused.contains(&event) || self.plan.threads > 0;
                self.ensure(!durable || excused, || format!("event {event} is durable, and answered as overloaded"));
                self.ensure(asked || is_discarded, || format!("event {event} was never written before its deadline"));
            }
            Verdict::Overloaded => {}
            Verdict::NotSubscribed => self.violate(|| "an event is answered as not subscribed".to_owned()),
        }
    }

    /// Passes the time to the machine.
    pub(super) fn tick(&mut self, replica: usize) {
        let now = self.now;
        // An earlier tick was planned since.
        if self.replicas[replica].tick_at.take_if(|at| *at == now).is_none() {
            return;
        }
        if let Some(machine) = &mut self.replicas[replica].machine {
            machine.tick(now);
        }
        self.execute(replica);
    }

    fn plan_tick(&mut self, replica: usize) {
        let there = &mut self.replicas[replica];
        let incarnation = there.incarnation();
        let Some(due) = there.machine.as_ref().and_then(Machine::due) else { return };
        let due = due.max(self.now);
        let late = self.plan.sim_rng.number(About::Tick, due) % self.plan.tick;
        if there.tick_at.is_none_or(|at| at > due + late) {
            there.tick_at = Some(due + late);
            self.at(due + late, SimEvent::Tick(replica, incarnation));
        }
    }
}
