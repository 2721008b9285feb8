//! The invariants after every step, and at the end of a schedule.

use super::scheduler::Scheduler;

impl Scheduler<'_> {
    /// Checks the replicas that the last step affected.
    pub(super) fn check_invariants(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.dedup();
        for replica in touched.drain(..) {
            let found = self.replicas[replica].machine.as_ref().and_then(|machine| machine.audit().err());
            if let Some(what) = found {
                self.violate(|| format!("r{replica}: {what}"));
            }
            let bytes: usize = self.replicas[replica].disk.bytes();
            self.ensure(bytes <= self.plan.journal, || format!("the journal holds {bytes} bytes"));
        }
        self.touched = touched;
        let (now, tick) = (self.now, self.plan.lateness());
        let mut open = std::mem::take(&mut self.oracle.open);
        open.retain(|request| {
            let there = &self.oracle.requests[*request];
            let over = !self.replicas[there.replica].is_alive(there.incarnation);
            !(there.answered || there.abandoned || over)
        });
        if let Some(late) = open.iter().find(|request| self.oracle.requests[**request].deadline + tick < now) {
            self.violate(|| format!("request {late} was not answered by its deadline"));
        }
        self.oracle.open = open;
        let broken = self.oracle.promises.iter().find(|(event, replica)| !self.replicas[*replica].disk.has(*event));
        if let Some((event, replica)) = broken.copied() {
            self.violate(|| format!("event {event}, which r{replica} has promised to keep, is lost"));
        }
    }

    /// Checks that nothing is left at the end.
    pub(super) fn check_final_state(&mut self) {
        for replica in 0..self.plan.replicas {
            let there = &self.replicas[replica];
            let entries = there.disk.entries.len();
            let Some(machine) = &there.machine else {
                self.violate(|| format!("r{replica} did not come back"));
                return;
            };
            let (waiting, pending) = (machine.waiting(), machine.pending());
            let lost = there
                .incarnations
                .last()
                .and_then(|incarnation| incarnation.all().find(|event| !self.oracle.is_complete(*event)));
            self.ensure(waiting == 0, || format!("{waiting} requests wait forever at r{replica}"));
            self.ensure(pending == 0, || format!("{pending} events wait forever at r{replica}"));
            self.ensure(entries == 0, || format!("{entries} entries stay in the journal of r{replica}"));
            self.ensure(lost.is_none(), || format!("event {lost:?}, which r{replica} has accepted, is lost"));
        }
        let open = self.oracle.open.first().copied();
        self.ensure(open.is_none(), || format!("request {open:?} was never answered"));
    }
}
