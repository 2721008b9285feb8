//! What is true whatever the machines believe: which records the topics hold, what was promised to whom.

use super::payload::{EventSpec, Number, Payload};
use crate::event::Publication;
use crate::verdict::Verdict;
use crate::{Millis, RequestId};

/// One request, from its sender's hand to its answer.
pub(super) struct Delivery {
    pub(super) callback: usize,
    pub(super) attempt: usize,
    pub(super) replica: usize,
    pub(super) life: usize,
    pub(super) events: Vec<Number>,
    /// Which of its events had their verdicts at admission.
    pub(super) known: Vec<Option<Verdict>>,
    pub(super) admitted_at: Millis,
    pub(super) deadline: Millis,
    pub(super) id: Option<RequestId>,
    pub(super) answered: bool,
    /// Whether its sender has hung up, and the machine knows.
    pub(super) abandoned: bool,
}

/// The truth.
pub(super) struct Oracle {
    pub(super) natures: Vec<EventSpec>,
    /// Which records of which form of each event were persisted.
    landed: Vec<[[bool; 2]; 3]>,
    /// The verdict that each event has earned, once all records of a form are persisted.
    pub(super) complete: Vec<Option<Verdict>>,
    /// In the order in which they became complete.
    pub(super) topics: Vec<Number>,
    /// How often another cluster has taken the place of the one before.
    pub(super) cluster: u32,
    /// What was complete on a cluster that is gone.
    pub(super) formerly: Vec<bool>,
    /// What of it no replica has any longer: it was settled before that cluster went.
    settled: Vec<bool>,
    /// Events of which a replica has said that it keeps them.
    pub(super) promises: Vec<(Number, usize)>,
    pub(super) deliveries: Vec<Delivery>,
    /// Those of them whose answers are still to come.
    pub(super) open: Vec<usize>,
    pub(super) duplicates: u64,
}

impl Oracle {
    pub(super) fn new(natures: Vec<EventSpec>) -> Self {
        let events = natures.len();
        Self {
            natures,
            landed: vec![[[false; 2]; 3]; events],
            complete: vec![None; events],
            topics: Vec::new(),
            cluster: 0,
            formerly: vec![false; events],
            settled: vec![false; events],
            promises: Vec::new(),
            deliveries: Vec::new(),
            open: Vec::new(),
            duplicates: 0,
        }
    }

    /// Whether the event is in its topic, or was settled on a cluster that is gone.
    pub(super) fn is_complete(&self, event: Number) -> bool {
        self.complete[event].is_some() || self.settled[event]
    }

    /// No replica has the event any longer, which a cluster that is gone had confirmed.
    pub(super) fn settle(&mut self, event: Number) {
        self.settled[event] |= self.formerly[event];
    }

    /// Another, empty cluster answers. `kept` tells of each event whether a replica still has it.
    pub(super) fn replace_cluster(&mut self, kept: &[bool]) {
        self.cluster += 1;
        for (event, kept) in kept.iter().enumerate() {
            if self.complete[event].take().is_some() {
                self.formerly[event] = true;
                self.settled[event] |= !kept;
            }
            self.landed[event] = [[false; 2]; 3];
        }
        self.topics.clear();
    }

    /// A record is in its topic. Returns whether the event is complete by it for the first time.
    pub(super) fn land(&mut self, cargo: &Payload, part: u8) -> bool {
        let event = cargo.nature.event;
        self.landed[event][usize::from(cargo.form)][usize::from(part)] = true;
        if self.complete[event].is_some() {
            self.duplicates += 1;
            return false;
        }
        if !self.is_whole(cargo) {
            return false;
        }
        self.complete[event] = Some(cargo.verdict());
        self.topics.push(event);
        self.promises.retain(|(promised, _)| *promised != event);
        true
    }

    /// Whether a record of the event's first form is in its topic.
    pub(super) fn has_record(&self, event: Number, record: u8) -> bool {
        self.landed[event][0][usize::from(record)]
    }

    /// Events that can have two records and of which the topics have one.
    pub(super) fn halves(&self) -> Vec<(Number, u8)> {
        let two = (0..self.natures.len()).filter(|event| self.natures[*event].is_told_by_record());
        let half = |event: Number| match self.landed[event][0] {
            [true, false] => Some((event, 0)),
            [false, true] => Some((event, 1)),
            [true, true] | [false, false] => None,
        };
        two.filter_map(half).collect()
    }

    /// Whether all records of the event were persisted in a form with that verdict.
    pub(super) fn earned(&self, event: Number, verdict: Verdict) -> bool {
        let forms = std::iter::successors(Some(self.natures[event].first()), Publication::fallback);
        forms.into_iter().any(|form| form.verdict() == verdict && self.is_whole(&form))
    }

    fn is_whole(&self, cargo: &Payload) -> bool {
        let records = &self.landed[cargo.nature.event][usize::from(cargo.form)];
        records[..usize::from(cargo.records())].iter().all(|record| *record)
    }

    pub(super) fn is_promised(&self, event: Number) -> bool {
        self.promises.iter().any(|(promised, _)| *promised == event)
    }

    pub(super) fn promise(&mut self, event: Number, replica: usize) {
        if !self.is_complete(event) && !self.promises.contains(&(event, replica)) {
            self.promises.push((event, replica));
        }
    }

    pub(super) fn release(&mut self, event: Number, replica: usize) {
        self.promises.retain(|promise| *promise != (event, replica));
    }
}
