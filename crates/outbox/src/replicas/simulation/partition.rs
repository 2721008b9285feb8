//! The outage of one of two partitions: what a replica's producer and outbox do with its lanes.

use super::node::{Event, Process};
use super::plan::{Defect, Outage};
use super::scheduler::{LATE_LANES, OUTAGE, STEP, Scheduler};
use crate::{LaneKey, Millis};

/// When a record is reported that waits for the leader of its partition.
pub(super) const NEVER: Millis = Millis::MAX;

/// When an event arrives at each replica before it knows that the partition accepts no records. Each is sent to other
/// replicas after [`SENT_AGAIN`].
const EARLY: std::ops::Range<Millis> = OUTAGE.start..OUTAGE.start + 600;
const EARLY_INTERVAL: Millis = 200;
const SENT_AGAIN: Millis = 4000;

/// Time without a report after which a replica knows that the partition accepts no records.
const SILENCE: Millis = 2000;

/// Maximum time until a producer has found the partition's leader again.
const RECONNECT: Millis = 2000;

/// How long lanes may wait after a replica knows that their partition accepts records.
const LONGEST_WAIT: Millis = 17_100;

/// A replica's view of the partition.
#[derive(Default)]
pub(super) struct Partition {
    /// Since when a record waits without a report.
    stuck_since: Option<Millis>,
    /// True if it is known to accept no records.
    is_closed: bool,
    /// When its leader will be found again.
    found_at: Option<Millis>,
    /// Since when lanes wait although it accepts records.
    waiting_since: Option<Millis>,
}

impl Scheduler {
    /// Returns true if a lane is in the partition that has no leader during the outage.
    pub(super) fn is_affected(&self, lane: LaneKey) -> bool {
        self.plan.outage == Outage::Partition && lane.0.is_multiple_of(2)
    }

    /// Returns true if the partition of a lane has no leader.
    pub(super) fn is_down(&self, lane: LaneKey) -> bool {
        self.is_affected(lane) && OUTAGE.contains(&self.now)
    }

    /// Returns true if an event is sent to one replica at a time until it is confirmed.
    pub(super) fn is_live(&self, lane: LaneKey, event: Event) -> bool {
        event >= OUTAGE.end || (self.plan.outage == Outage::Partition && !self.is_affected(lane))
    }

    /// Sends the events of the partition's outage, and those of the other partition.
    pub(super) fn partition_arrivals(&mut self) {
        if !OUTAGE.contains(&self.now) || self.plan.outage == Outage::Cluster {
            return;
        }
        if self.now % 300 == STEP {
            let lane = LaneKey(self.rng.u64(LATE_LANES) | 1);
            self.late.push((self.now, lane, self.now, 0));
        }
        let began = self.now - OUTAGE.start;
        if EARLY.contains(&self.now) && began.is_multiple_of(EARLY_INTERVAL) {
            let number = began / EARLY_INTERVAL;
            self.accept(number as usize % self.nodes.len(), LaneKey(number * 2), self.now);
        }
        let Some(event) = self.now.checked_sub(SENT_AGAIN).filter(|event| EARLY.contains(event)) else { return };
        let lanes: Vec<_> =
            self.accepted.keys().filter(|(_, accepted)| *accepted == event).map(|(lane, _)| *lane).collect();
        for lane in lanes {
            for at in 0..self.nodes.len() {
                let is_known = self.accepted[&(lane, event)].contains(&self.nodes[at].id);
                if !is_known && self.rng.u8(0..10) < 8 {
                    self.accept(at, lane, event);
                }
            }
        }
    }

    fn accept(&mut self, at: usize, lane: LaneKey, event: Event) {
        self.nodes[at].waiting.entry(lane).or_default().insert(event);
        self.accepted.entry((lane, event)).or_default().insert(self.nodes[at].id);
    }

    /// Lets a replica notice that the partition accepts no records, or accepts them again.
    pub(super) fn watch_partition(&mut self, at: usize) -> Result<(), String> {
        if self.plan.outage == Outage::Cluster {
            return Ok(());
        }
        let (now, is_down) = (self.now, self.is_down(LaneKey(0)));
        let Some(process) = self.nodes[at].process.as_mut() else { return Ok(()) };
        let partition = &mut process.partition;
        let stuck = process.flights.iter_mut().filter(|(due, ..)| *due == NEVER);
        if !is_down && *partition.found_at.get_or_insert(now + self.rng.u64(0..RECONNECT)) <= now {
            partition.stuck_since = None;
            stuck.for_each(|(due, ..)| *due = now + self.rng.u64(5..60));
            if std::mem::take(&mut partition.is_closed) {
                let is_asked = process.coordinator.replicas() > 1 && self.plan.defect != Some(Defect::RecoversAlone);
                if is_asked && !process.closed.is_empty() {
                    process.coordinator.partitions_available(now);
                    partition.waiting_since = Some(now);
                } else {
                    process.closed.clear();
                }
            }
        } else if !partition.is_closed && partition.stuck_since.is_some_and(|since| now >= since + SILENCE) {
            partition.is_closed = true;
            process.closed.extend(stuck.map(|(_, lane, _)| *lane));
        }
        if process.closed.is_empty() {
            process.partition.waiting_since = None;
        }
        let waits = process.partition.waiting_since.filter(|_| process.open);
        if waits.is_some_and(|since| now > since.max(self.nodes[at].paused_until) + LONGEST_WAIT) {
            return Err(format!("{now}: {:?} waits too long for a partition", self.nodes[at].id));
        }
        Ok(())
    }
}

impl Process {
    /// Returns true if a lane waits for another replica, or for its partition.
    pub(super) fn waits(&self, lane: LaneKey) -> bool {
        self.held.contains(&lane) || self.closed.contains(&lane)
    }

    /// Returns when the report on a record arrives. `None` if the record is not given to the producer.
    pub(super) fn hand_over(
        &mut self,
        lane: LaneKey,
        (is_affected, is_down): (bool, bool),
        due: Millis,
    ) -> Option<Millis> {
        if is_affected && self.partition.is_closed {
            self.closed.insert(lane);
            return None;
        }
        if !is_down {
            return Some(due);
        }
        self.partition.stuck_since.get_or_insert(due);
        self.partition.found_at = None;
        Some(NEVER)
    }
}
