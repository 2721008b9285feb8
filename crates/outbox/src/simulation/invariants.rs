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
            self.hold(bytes <= self.plan.journal, || format!("the journal holds {bytes} bytes"));
        }
        self.touched = touched;
        let (now, tick) = (self.now, self.plan.lateness());
        let mut open = std::mem::take(&mut self.ledger.open);
        open.retain(|delivery| {
            let there = &self.ledger.deliveries[*delivery];
            let over = !self.replicas[there.replica].is_alive(there.life);
            !(there.answered || there.abandoned || over)
        });
        if let Some(late) = open.iter().find(|delivery| self.ledger.deliveries[**delivery].deadline + tick < now) {
            self.violate(|| format!("delivery {late} was not answered by its deadline"));
        }
        self.ledger.open = open;
        let broken = self.ledger.promises.iter().find(|(event, replica)| !self.replicas[*replica].disk.has(*event));
        if let Some((event, replica)) = broken.copied() {
            self.violate(|| format!("event {event}, which r{replica} has promised to keep, is nowhere"));
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
            let lost = there.lives.last().and_then(|life| life.all().find(|event| !self.ledger.is_complete(*event)));
            self.hold(waiting == 0, || format!("{waiting} deliveries wait for ever at r{replica}"));
            self.hold(pending == 0, || format!("{pending} events wait for ever at r{replica}"));
            self.hold(entries == 0, || format!("{entries} entries stay in the journal of r{replica}"));
            self.hold(lost.is_none(), || format!("event {lost:?}, which r{replica} has accepted, is nowhere"));
        }
        let open = self.ledger.open.first().copied();
        self.hold(open.is_none(), || format!("delivery {open:?} was never answered"));
    }
}
