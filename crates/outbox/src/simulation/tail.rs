//! What a replica learns from the topics: at its start, while it runs, and after the cluster is replaced.

use super::rng::{About, RngExt};
use super::scheduler::{Scheduler, SimEvent};
use crate::Published;
use crate::event::Publication;
use crate::verdict::Verdict;

/// How many of the newest events a short tail contains.
const SHORT_TAIL: usize = 2;

impl Scheduler<'_> {
    /// Learns the content of the topics, as far as possible, and enables replay.
    pub(super) fn read_the_tail(&mut self, replica: usize) {
        let incarnation = self.replicas[replica].incarnation();
        let mut rng = self.plan.sim_rng.on(About::Tail, [replica as u64, incarnation as u64]);
        let begin = self.now + rng.time(50, 3_000);
        let topics = self.oracle.topics.clone();
        let seen = match rng.u8(0..4) {
            0 => 0,
            1 => SHORT_TAIL.min(topics.len()),
            _ => topics.len(),
        };
        for event in &topics[topics.len() - seen..] {
            self.at(begin, SimEvent::Learn(replica, incarnation, *event));
        }
        if seen > 0 {
            for (event, record) in self.oracle.halves() {
                self.at(begin, SimEvent::LearnRecord(replica, incarnation, event, record));
            }
        }
        self.at(begin + 1, SimEvent::Release(replica, incarnation));
    }

    /// A replica finds an event in a topic.
    pub(super) fn learn(&mut self, replica: usize, event: usize) {
        let (now, key) = (self.now, super::payload::key(event));
        let Some(verdict) = self.oracle.complete[event] else { return };
        let there = &mut self.replicas[replica];
        // A replica that does not know the new cluster yet does not read its topics.
        if there.current().cluster != self.oracle.cluster {
            return;
        }
        there.current().learned[event] = true;
        let spec = &self.oracle.specs[event];
        let is_single = spec.is_told_by_record() && spec.first().records() == 1 && verdict == Verdict::Confirmed;
        let learned = if is_single { Published::Record(0) } else { Published::Whole(verdict) };
        if let Some(machine) = &mut there.machine {
            machine.mark_published(key, learned, now);
        }
        self.execute(replica);
    }

    /// A replica finds one of two records of an event in a topic.
    pub(super) fn learn_record(&mut self, replica: usize, event: usize, record: u8) {
        let (now, key) = (self.now, super::payload::key(event));
        let known = self.replicas[replica].current().cluster == self.oracle.cluster;
        if let Some(machine) = &mut self.replicas[replica].machine
            && known
            && self.oracle.has_record(event, record)
        {
            machine.mark_published(key, Published::Record(record), now);
        }
        self.execute(replica);
    }

    pub(super) fn release(&mut self, replica: usize) {
        let there = &mut self.replicas[replica];
        there.current().released = true;
        if let Some(machine) = &mut there.machine {
            machine.enable_replay();
        }
        self.execute(replica);
    }

    /// A replica notices that another cluster answers. It reads the topics before anything is replayed.
    pub(super) fn notice_cluster(&mut self, replica: usize) {
        let (there, now) = (&mut self.replicas[replica], self.now);
        there.current().forget_cluster(self.oracle.cluster, now);
        if let Some(machine) = &mut there.machine {
            machine.cluster_replaced();
        }
        self.execute(replica);
        self.read_the_tail(replica);
    }
}
