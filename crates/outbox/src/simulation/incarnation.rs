//! What one process has accepted, handed over and answered, from its start to its end. The machine is checked against
//! it.
//!
//! Accepted events are those that were in the journal at the start, in its order, and every event that the machine
//! admitted as new, until the operator discards it. An event that is accepted during an outage goes before events that
//! happened later and were not produced yet. An event that the machine rejects at admission was never accepted. An
//! event that was neither written nor answered as durable before a crash is not accepted in the next incarnation: its
//! sender sends it again.

use super::payload::Number;
use crate::verdict::Verdict;
use crate::{EventHandle, Millis, Seq};

/// One run of a process.
pub(super) struct Incarnation {
    /// The accepted events of each lane that are not settled, in order.
    pub(super) order: Vec<Vec<Number>>,
    accepted: Vec<bool>,
    /// Events that the operator has discarded.
    pub(super) discarded: Vec<bool>,
    /// Events that were discarded at any time, even if they came again.
    pub(super) operator_touched: Vec<bool>,
    /// The final verdicts that it has answered.
    pub(super) finals: Vec<Option<Verdict>>,
    /// True if the dedup cache has lost verdicts.
    pub(super) forgetful: bool,
    /// How many records of each lane are with the producer.
    pub(super) in_flight: Vec<usize>,
    /// The events to which sequence numbers were given.
    pub(super) seqs: Vec<(Seq, Number)>,
    /// Sequence numbers that were reported to the machine as synced.
    pub(super) durable: Vec<Seq>,
    /// Events that could not be written at some time. A request may have been answered accordingly.
    pub(super) refused: Vec<Number>,
    /// Sequence numbers whose events the operator has discarded.
    pub(super) freed: Vec<Seq>,
    /// True for events whose writing was requested.
    pub(super) requested: Vec<bool>,
    /// Events that wait for their partition, as reported to the machine.
    pub(super) closed: Vec<EventHandle>,
    pub(super) released: bool,
    pub(super) connected: bool,
    /// The number of the cluster that it knows, and when it noticed it.
    pub(super) cluster: u32,
    pub(super) noticed_at: Millis,
    /// The lanes that another replica publishes first.
    pub(super) held: Vec<bool>,
    /// True for events that it has found in the topics.
    pub(super) learned: Vec<bool>,
    /// Which records of the first form of each event were reported to it as confirmed.
    pub(super) confirmed: Vec<[bool; 2]>,
    /// Entries that are being read back, each with its size in bytes.
    pub(super) loading: Vec<(EventHandle, usize)>,
    /// When its shutdown began, and how long the replica will be down.
    pub(super) draining: Option<(Millis, Millis)>,
}

impl Incarnation {
    pub(super) fn new(events: usize, lanes: usize) -> Self {
        Self {
            order: vec![Vec::new(); lanes],
            accepted: vec![false; events],
            discarded: vec![false; events],
            operator_touched: vec![false; events],
            finals: vec![None; events],
            forgetful: false,
            in_flight: vec![0; lanes],
            seqs: Vec::new(),
            durable: Vec::new(),
            refused: Vec::new(),
            freed: Vec::new(),
            requested: vec![false; events],
            closed: Vec::new(),
            released: false,
            connected: true,
            cluster: 0,
            noticed_at: 0,
            held: vec![false; lanes],
            learned: vec![false; events],
            confirmed: vec![[false; 2]; events],
            loading: Vec::new(),
            draining: None,
        }
    }

    pub(super) fn accept(&mut self, event: Number) {
        self.accepted[event] = true;
        self.discarded[event] = false;
    }

    /// The process notices another cluster.
    pub(super) fn forget_cluster(&mut self, cluster: u32, now: Millis) {
        (self.cluster, self.noticed_at) = (cluster, now);
        self.released = false;
        self.finals.fill(None);
        self.learned.fill(false);
        self.confirmed.fill([false; 2]);
    }

    pub(super) fn discard(&mut self, event: Number) {
        (self.discarded[event], self.operator_touched[event]) = (true, true);
        self.requested[event] = false;
        let seqs = &self.seqs;
        self.durable.retain(|seq| !seqs.contains(&(*seq, event)));
        self.freed.extend(seqs.iter().filter(|(_, whose)| *whose == event).map(|(seq, _)| *seq));
    }

    /// Returns true if the event was accepted, and not discarded.
    pub(super) fn has_accepted(&self, event: Number) -> bool {
        self.accepted[event] && !self.discarded[event]
    }

    /// Returns the events of its lane that go before an event and were not discarded.
    pub(super) fn before(&self, event: Number, lane: usize) -> impl Iterator<Item = Number> {
        let earlier = self.order[lane].iter().copied().take_while(move |other| *other != event);
        earlier.filter(|other| !self.discarded[*other])
    }

    /// Returns all events that were accepted and not discarded.
    pub(super) fn all(&self) -> impl Iterator<Item = Number> {
        (0..self.accepted.len()).filter(|event| self.has_accepted(*event))
    }

    pub(super) fn event_at(&self, seq: Seq) -> Option<Number> {
        self.seqs.iter().rev().find(|(there, _)| *there == seq).map(|(_, event)| *event)
    }
}
