//! The events that IDaaS sends in the simulation, during the outage and after it.

use super::plan::Outage;
use super::scheduler::{LATE_EVENTS, LATE_LANES, OUTAGE, Scheduler};
use crate::{LaneKey, Millis};

/// When new events of entities with waiting events arrive after the outage.
const LATE: std::ops::Range<Millis> = OUTAGE.end..OUTAGE.end + 8000;

/// Interval after which an event that was not confirmed is sent again.
const AGAIN: [Millis; 5] = [1000, 5000, 10_000, 10_000, 10_000];

impl Scheduler {
    /// Sends each event of the outage to at least one of the replicas, mostly to several.
    pub(super) fn arrivals(&mut self) {
        let is_partition = self.plan.outage == Outage::Partition;
        if !is_partition && (self.now == OUTAGE.start || self.now == OUTAGE.end) {
            let reaches = self.now == OUTAGE.end;
            for node in &mut self.nodes {
                node.reaches = reaches;
                let after = if reaches { self.rng.u64(0..1000) } else { self.rng.u64(500..2000) };
                if let Some(process) = &mut node.process {
                    process.availability_change = Some((self.now + after, reaches));
                }
            }
        }
        if OUTAGE.contains(&self.now) && self.now > OUTAGE.start + 3000 && self.now.is_multiple_of(100) {
            let lane = if is_partition { self.rng.u64(0..6) * 2 } else { self.rng.u64(0..12) };
            let lane = LaneKey(lane);
            for node in &mut self.nodes {
                if self.rng.u8(0..10) < 8 {
                    node.waiting.entry(lane).or_default().insert(self.now);
                    self.accepted.entry((lane, self.now)).or_default().insert(node.id);
                }
            }
        }
    }

    /// Sends events after the outage, each to one replica at a time until it is confirmed.
    pub(super) fn late_arrivals(&mut self) {
        self.partition_arrivals();
        if LATE.contains(&self.now) && self.now.is_multiple_of(LATE.end.abs_diff(LATE.start) / LATE_EVENTS as u64) {
            let lane = LaneKey(self.rng.u64(LATE_LANES));
            self.late.push((self.now, lane, self.now, 0));
        }
        for (_, lane, event, tries) in self.late.extract_if(.., |(at, ..)| *at <= self.now).collect::<Vec<_>>() {
            let at = self.rng.usize(0..self.nodes.len());
            let node = &mut self.nodes[at];
            let up = node.process.as_ref().filter(|_| node.paused_until <= self.now);
            let is_known = up.is_some_and(|process| process.known.contains(&event));
            let is_success = is_known || up.is_some_and(|process| process.open && !process.waits(lane));
            let has = up.is_some_and(|process| process.flights.iter().any(|(.., flying)| *flying == event));
            if up.is_some() && !is_known && !has {
                node.waiting.entry(lane).or_default().insert(event);
                self.accepted.entry((lane, event)).or_default().insert(node.id);
                if up.is_some_and(|process| process.open && process.held.contains(&lane)) {
                    self.filled.entry((lane, event)).or_default().insert(node.id);
                }
            }
            if let Some(after) = AGAIN.get(tries).filter(|_| !is_success) {
                self.late.push((self.now + after, lane, event, tries + 1));
            }
        }
    }
}
