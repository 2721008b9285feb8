//! The journal of a process: executes writes, removals and reads, and reports the results.

use super::disk::{CommitResult, Outcome};
use super::payload::Payload;
use super::plan::Kind;
use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::event::Loaded;
use crate::{EventHandle, Seq};

impl Scheduler<'_> {
    /// Writes an event.
    pub(super) fn write(&mut self, replica: usize, handle: EventHandle, payload: &Payload) {
        let event = payload.spec.event;
        self.note(|| format!("  r{replica} write {handle:?} event {event}"));
        let twice = self.replicas[replica].disk.is_writing(handle.seq);
        self.ensure(!twice, || format!("event {event} is written while it is being written"));
        let there = &mut self.replicas[replica];
        let whose = there.current().event_at(handle.seq);
        let gone = there.machine.as_ref().is_some_and(|machine| machine.is_gone(handle));
        let incarnation = there.current();
        incarnation.requested[event] = true;
        if gone && incarnation.operator_touched[event] {
            incarnation.freed.push(handle.seq);
        }
        if whose.is_none() {
            there.current().seqs.push((handle.seq, event));
        }
        there.disk.put(handle.seq, Payload { attached: false, ..*payload });
        self.ensure(whose.is_none_or(|whose| whose == event), || format!("{:?} is given out twice", handle.seq));
    }

    /// Deletes an entry.
    pub(super) fn forget(&mut self, replica: usize, seq: Seq) {
        self.note(|| format!("  r{replica} forget {seq:?}"));
        let there = &mut self.replicas[replica];
        let writing = there.disk.is_writing(seq);
        let event = there.disk.entries.get(&seq).map(|payload| payload.spec.event);
        // A second copy is not needed if the first one stays.
        let copies = |event| there.disk.entries.values().filter(|payload| payload.spec.event == event).count();
        let copy = event.is_some_and(|event| copies(event) > 1);
        there.disk.delete(seq);
        there.current().durable.retain(|durable| *durable != seq);
        let is_discarded = there.current().freed.contains(&seq);
        self.ensure(!writing, || format!("{seq:?} is forgotten while it is being written"));
        let Some(event) = event else { return };
        let machine = self.replicas[replica].machine.as_ref();
        let resolved = machine.is_none_or(|machine| !machine.has_entry(super::payload::key(event), seq));
        let former = self.oracle.formerly[event] && resolved;
        let safe = self.oracle.is_complete(event) || copy || is_discarded || former;
        self.ensure(safe, || format!("event {event} is forgotten and is in no topic"));
        if former && !self.is_kept(event) {
            self.oracle.settle(event);
            // Resolved by a confirmation of the former cluster, before the replica could know that it is gone.
            let unnoticed = self.replicas[replica].current().cluster < self.oracle.cluster;
            if unnoticed || self.plan.threads > 0 {
                self.oracle.release(event, replica);
            }
        }
    }

    /// Reads an entry back.
    pub(super) fn load(&mut self, replica: usize, handle: EventHandle) {
        self.note(|| format!("  r{replica} load {handle:?}"));
        let (plan, now) = (self.plan, self.now);
        let incarnation = self.replicas[replica].current();
        // A command on another thread can have been issued before the new cluster was noticed.
        let released = incarnation.released || (plan.threads > 0 && incarnation.noticed_at > 0);
        let connected = incarnation.connected;
        self.ensure(released, || format!("{handle:?} is replayed before it is known what is in the topics"));
        // It can have been issued before the broker became unavailable.
        self.ensure(connected || plan.threads > 0, || format!("{handle:?} is replayed while the broker is away"));
        let closed = self.replicas[replica].current().closed.contains(&handle);
        self.ensure(!closed || plan.threads > 0, || format!("{handle:?} is read back, and its partition is closed"));
        let bytes = self.replicas[replica].machine.as_ref().map_or(0, |machine| machine.bytes(handle));
        let there = &mut self.replicas[replica];
        // An event that was found in its topic in the meantime has passed its slot on, even if another thread executes
        // its command only now. Its entry is not read beside others: the journal executes one request after the other,
        // and the machine drops the result before the next one.
        let gone = |handle| there.machine.as_ref().is_none_or(|machine| machine.is_gone(handle));
        let is_gone = gone(handle);
        let mut loading: Vec<_> =
            there.incarnations.last().map(|incarnation| incarnation.loading.clone()).unwrap_or_default();
        loading.push((handle, bytes));
        loading.retain(|(other, _)| !gone(*other));
        let sum: usize = loading.iter().map(|(_, bytes)| bytes).sum();
        let fits = loading.len() <= 1 || sum <= plan.limits.replay_bytes;
        there.current().loading = loading;
        self.ensure(fits, || format!("{sum} bytes are read back at a time"));
        self.ensure(!is_gone || plan.threads > 0, || format!("{handle:?} is read back, and its event is gone"));
        let mut rng = plan.sim_rng.on(About::Reading, [replica as u64, handle.seq.0, now]);
        let incarnation = self.replicas[replica].incarnation();
        self.at(now + rng.time(10, 300), SimEvent::Read(replica, incarnation, handle));
    }

    /// An entry has been read back, or could not be read.
    pub(super) fn read(&mut self, replica: usize, handle: EventHandle) {
        let now = self.now;
        let unreadable = self.plan.faulty(Kind::Unreadable, replica, now).is_some();
        let there = &mut self.replicas[replica];
        there.current().loading.retain(|(other, _)| *other != handle);
        let payload = match there.disk.entries.get(&handle.seq) {
            Some(payload) if !unreadable => Loaded::Found(*payload),
            Some(_) if handle.seq.0.is_multiple_of(2) => Loaded::Unavailable,
            Some(_) | None => Loaded::Damaged,
        };
        if let Some(machine) = &mut there.machine {
            machine.loaded(handle, payload, now);
        }
        self.execute(replica);
    }

    /// Starts a commit of the waiting operations.
    pub(super) fn begin_commit(&mut self, replica: usize) {
        let there = &mut self.replicas[replica];
        if !there.disk.begin(self.now) {
            return;
        }
        let incarnation = there.incarnation();
        let mut rng = self.plan.sim_rng.on(About::Commit, [replica as u64, there.disk.commits]);
        let slow = if self.plan.faulty(Kind::DiskSlow, replica, self.now).is_some() { 3_000 } else { 20 };
        self.at(self.now + 1 + rng.time(slow, slow), SimEvent::Commit(replica, incarnation));
    }

    /// Ends a commit.
    pub(super) fn commit(&mut self, replica: usize) {
        let (plan, now) = (self.plan, self.now);
        let there = &mut self.replicas[replica];
        let mut rng = plan.sim_rng.on(About::CommitOutcome, [replica as u64, there.disk.commits]);
        let outcome = if plan.faulty(Kind::DiskFails, replica, now).is_some() {
            if rng.bool() { Outcome::Failed } else { Outcome::Doubtful }
        } else if plan.faulty(Kind::DiskFull, replica, now).is_some() {
            Outcome::Full
        } else {
            Outcome::Done
        };
        let result = there.disk.end(outcome, plan.journal);
        let incarnation = there.incarnation();
        self.note(|| format!("  r{replica} {outcome:?} {result:?}"));
        self.at(now + rng.time(1, 30), SimEvent::CommitResult(replica, incarnation, result));
        if let Some(retry) = self.replicas[replica].disk.retry_at(outcome, now) {
            self.at(retry, SimEvent::CommitResult(replica, incarnation, CommitResult::default()));
        }
        self.begin_commit(replica);
    }

    /// Reports the result of a commit to the machine.
    pub(super) fn commit_result(&mut self, replica: usize, result: CommitResult) {
        let CommitResult { written, refused } = result;
        let there = &mut self.replicas[replica];
        let incarnation = there.current();
        incarnation.durable.extend(&written);
        let refused_events: Vec<_> = refused.iter().filter_map(|seq| incarnation.event_at(*seq)).collect();
        incarnation.refused.extend(refused_events);
        if let Some(machine) = &mut there.machine {
            machine.written(written);
            machine.fallback_level(refused);
        }
        self.execute(replica);
    }
}
