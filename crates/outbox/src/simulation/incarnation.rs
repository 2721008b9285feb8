//! What one process has accepted, handed over and said, from its start to its end: the truth to which the machine is
//! held.
//!
//! Accepted is what was found in the journal at the start, in its order, and after that every event that the machine
//! took as new, until the operator discards it. An event that is accepted during an outage goes before those that
//! happened later, and which nobody has produced yet. What the machine refuses at its admission was never accepted. What was
//! neither written nor answered as safe before a crash is not accepted in the next life: its sender asks again.

use super::payload::Number;
use crate::verdict::Verdict;
use crate::{EventHandle, Millis, Seq};

/// The life of a process.
pub(super) struct Incarnation {
    /// The accepted events of each lane that are not settled, in order.
    pub(super) order: Vec<Vec<Number>>,
    accepted: Vec<bool>,
    /// What the operator has discarded.
    pub(super) discarded: Vec<bool>,
    /// What was discarded at any time, though it came again.
    pub(super) meddled: Vec<bool>,
    /// The final verdicts it has said.
    pub(super) finals: Vec<Option<Verdict>>,
    /// Whether verdicts have fallen out of its memory.
    pub(super) forgetful: bool,
    /// How many records of each lane the producer has.
    pub(super) in_flight: Vec<usize>,
    /// Whose places were given out.
    pub(super) seqs: Vec<(Seq, Number)>,
    /// What the machine was told to be synced.
    pub(super) durable: Vec<Seq>,
    /// What could not be written at one time: a delivery may have been told.
    pub(super) refused: Vec<Number>,
    /// The places that the operator has freed.
    pub(super) freed: Vec<Seq>,
    /// Of which events writing was asked for.
    pub(super) requested: Vec<bool>,
    /// What waits for its partition, as the machine was told.
    pub(super) closed: Vec<EventHandle>,
    pub(super) released: bool,
    pub(super) connected: bool,
    /// The cluster that it knows of, by its number, and since when.
    pub(super) cluster: u32,
    pub(super) noticed_at: Millis,
    /// The lanes that another replica publishes first.
    pub(super) held: Vec<bool>,
    /// What the topics have told it.
    pub(super) learned: Vec<bool>,
    /// Which records of the first form of each event were reported to it as confirmed.
    pub(super) confirmed: Vec<[bool; 2]>,
    /// What is being read back, and how many bytes each takes.
    pub(super) loading: Vec<(EventHandle, usize)>,
    /// Since when it is to end, and for how long it will be away.
    pub(super) hurried: Option<(Millis, Millis)>,
}

impl Incarnation {
    pub(super) fn new(events: usize, lanes: usize) -> Self {
        Self {
            order: vec![Vec::new(); lanes],
            accepted: vec![false; events],
            discarded: vec![false; events],
            meddled: vec![false; events],
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
            hurried: None,
        }
    }

    pub(super) fn accept(&mut self, event: Number) {
        self.accepted[event] = true;
        self.discarded[event] = false;
    }

    /// Another cluster answers, and it knows.
    pub(super) fn forget_cluster(&mut self, cluster: u32, now: Millis) {
        (self.cluster, self.noticed_at) = (cluster, now);
        self.released = false;
        self.finals.fill(None);
        self.learned.fill(false);
        self.confirmed.fill([false; 2]);
    }

    pub(super) fn discard(&mut self, event: Number) {
        (self.discarded[event], self.meddled[event]) = (true, true);
        self.requested[event] = false;
        let seqs = &self.seqs;
        self.durable.retain(|seq| !seqs.contains(&(*seq, event)));
        self.freed.extend(seqs.iter().filter(|(_, whose)| *whose == event).map(|(seq, _)| *seq));
    }

    /// Whether the event was accepted, and not discarded.
    pub(super) fn has_accepted(&self, event: Number) -> bool {
        self.accepted[event] && !self.discarded[event]
    }

    /// What of its lane goes before an event, and was not discarded.
    pub(super) fn before(&self, event: Number, lane: usize) -> impl Iterator<Item = Number> {
        let earlier = self.order[lane].iter().copied().take_while(move |other| *other != event);
        earlier.filter(|other| !self.discarded[*other])
    }

    /// All that was accepted and not discarded.
    pub(super) fn all(&self) -> impl Iterator<Item = Number> {
        (0..self.accepted.len()).filter(|event| self.has_accepted(*event))
    }

    pub(super) fn event_at(&self, seq: Seq) -> Option<Number> {
        self.seqs.iter().rev().find(|(there, _)| *there == seq).map(|(_, event)| *event)
    }
}
