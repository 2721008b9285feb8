//! The commits of a process's journal: when they end, how, and when the machine hears of it.

use super::dice::{About, Throws};
use super::disk::{Outcome, Told};
use super::plan::Kind;
use super::world::{Happening, World};

impl World<'_> {
    /// Lets the disk take what waits for it.
    pub(super) fn begin_commit(&mut self, replica: usize) {
        let there = &mut self.replicas[replica];
        if !there.disk.begin(self.now) {
            return;
        }
        let life = there.life();
        let mut throws = self.plan.dice.on(About::Commit, [replica as u64, there.disk.commits]);
        let slow = if self.plan.faulty(Kind::DiskSlow, replica, self.now).is_some() { 3_000 } else { 20 };
        self.at(self.now + 1 + throws.time(slow, slow), Happening::Commit(replica, life));
    }

    /// A commit ends.
    pub(super) fn commit(&mut self, replica: usize) {
        let (plan, now) = (self.plan, self.now);
        let there = &mut self.replicas[replica];
        let mut throws = plan.dice.on(About::CommitOutcome, [replica as u64, there.disk.commits]);
        let outcome = if plan.faulty(Kind::DiskFails, replica, now).is_some() {
            if throws.bool() { Outcome::Failed } else { Outcome::Doubtful }
        } else if plan.faulty(Kind::DiskFull, replica, now).is_some() {
            Outcome::Full
        } else {
            Outcome::Done
        };
        let told = there.disk.end(outcome, plan.journal);
        let life = there.life();
        self.note(|| format!("  r{replica} {outcome:?} {told:?}"));
        self.at(now + throws.time(1, 30), Happening::Told(replica, life, told));
        if let Some(retry) = self.replicas[replica].disk.retry_at(outcome, now) {
            self.at(retry, Happening::Told(replica, life, Told::default()));
        }
        self.begin_commit(replica);
    }

    /// The machine hears of a commit.
    pub(super) fn told(&mut self, replica: usize, told: Told) {
        let Told { written, refused } = told;
        let there = &mut self.replicas[replica];
        let life = there.current();
        life.durable.extend(&written);
        let refused_events: Vec<_> = refused.iter().filter_map(|seq| life.event_at(*seq)).collect();
        life.refused.extend(refused_events);
        if let Some(machine) = &mut there.machine {
            machine.written(written);
            machine.refused(refused);
        }
        self.execute(replica);
    }
}
