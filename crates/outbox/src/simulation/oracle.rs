//! The truth, independent of the machines: which records are in the topics, and what was promised to whom.

use super::payload::{EventSpec, Number, Payload};
use crate::event::Publication;
use crate::verdict::Verdict;
use crate::{Millis, RequestId};

/// One request, from its admission to its answer.
pub(super) struct SimRequest {
    pub(super) callback: usize,
    pub(super) attempt: usize,
    pub(super) replica: usize,
    pub(super) incarnation: usize,
    pub(super) events: Vec<Number>,
    /// The verdicts that were known at admission.
    pub(super) known: Vec<Option<Verdict>>,
    pub(super) admitted_at: Millis,
    pub(super) deadline: Millis,
    pub(super) id: Option<RequestId>,
    pub(super) answered: bool,
    /// True if its sender has disconnected, and the machine knows.
    pub(super) abandoned: bool,
}

/// The truth about all events and requests.
pub(super) struct Oracle {
    pub(super) specs: Vec<EventSpec>,
    /// Which records of which form of each event were published.
    landed: Vec<[[bool; 2]; 3]>,
    /// The verdict that each event has earned, once all records of a form are published.
    pub(super) complete: Vec<Option<Verdict>>,
    /// Complete events, in the order in which they became complete.
    pub(super) topics: Vec<Number>,
    /// The number of the current cluster: how many times it was replaced.
    pub(super) cluster: u32,
    /// True for events that were complete on a former cluster.
    pub(super) formerly: Vec<bool>,
    /// True for those of them that no replica has any longer. They were settled before that cluster was replaced.
    settled: Vec<bool>,
    /// Events that a replica has promised to keep.
    pub(super) promises: Vec<(Number, usize)>,
    pub(super) requests: Vec<SimRequest>,
    /// Requests that are not answered yet.
    pub(super) open: Vec<usize>,
    pub(super) duplicates: u64,
}

impl Oracle {
    pub(super) fn new(specs: Vec<EventSpec>) -> Self {
        let events = specs.len();
        Self {
            specs,
            landed: vec![[[false; 2]; 3]; events],
            complete: vec![None; events],
            topics: Vec::new(),
            cluster: 0,
            formerly: vec![false; events],
            settled: vec![false; events],
            promises: Vec::new(),
            requests: Vec::new(),
            open: Vec::new(),
            duplicates: 0,
        }
    }

    /// Returns true if the event is in its topic, or was settled on a former cluster.
    pub(super) fn is_complete(&self, event: Number) -> bool {
        self.complete[event].is_some() || self.settled[event]
    }

    /// Notes that no replica has the event any longer, which a former cluster had confirmed.
    pub(super) fn settle(&mut self, event: Number) {
        self.settled[event] |= self.formerly[event];
    }

    /// Another, empty cluster answers. `kept` is true for each event that a replica still has.
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

    /// Publishes a record. Returns true if that completes the event for the first time.
    pub(super) fn land(&mut self, payload: &Payload, part: u8) -> bool {
        let event = payload.spec.event;
        self.landed[event][usize::from(payload.form)][usize::from(part)] = true;
        if self.complete[event].is_some() {
            self.duplicates += 1;
            return false;
        }
        if !self.is_whole(payload) {
            return false;
        }
        self.complete[event] = Some(payload.verdict());
        self.topics.push(event);
        self.promises.retain(|(promised, _)| *promised != event);
        true
    }

    /// Returns true if a record of the event's first form is in its topic.
    pub(super) fn has_record(&self, event: Number, record: u8) -> bool {
        self.landed[event][0][usize::from(record)]
    }

    /// Returns events that can have two records and of which one is in the topics.
    pub(super) fn halves(&self) -> Vec<(Number, u8)> {
        let two = (0..self.specs.len()).filter(|event| self.specs[*event].is_told_by_record());
        let half = |event: Number| match self.landed[event][0] {
            [true, false] => Some((event, 0)),
            [false, true] => Some((event, 1)),
            [true, true] | [false, false] => None,
        };
        two.filter_map(half).collect()
    }

    /// Returns true if all records of the event were published in a form with that verdict.
    pub(super) fn earned(&self, event: Number, verdict: Verdict) -> bool {
        let forms = std::iter::successors(Some(self.specs[event].first()), Publication::fallback);
        forms.into_iter().any(|form| form.verdict() == verdict && self.is_whole(&form))
    }

    fn is_whole(&self, payload: &Payload) -> bool {
        let records = &self.landed[payload.spec.event][usize::from(payload.form)];
        records[..usize::from(payload.records())].iter().all(|record| *record)
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
