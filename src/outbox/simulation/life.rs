//! What one process has accepted, handed over and said, from its start to its end: the truth to which the machine is
//! held.
//!
//! Accepted is what was found in the journal at the start, in its order, and after that every event that the machine
//! took as new, until the operator discards it. What the machine refuses at its admission was never accepted. What was
//! neither written nor answered as safe before a crash is not accepted in the next life: its sender asks again.

use super::cargo::Number;
use crate::outbox::verdict::Verdict;
use crate::outbox::{Millis, Seq};

/// The life of a process.
pub(super) struct Life {
    /// The accepted events of each lane, in order.
    order: Vec<Vec<Number>>,
    /// How many events were accepted, and when each was, by that count, the last time.
    accepted: usize,
    place: Vec<Option<usize>>,
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
    pub(super) released: bool,
    pub(super) connected: bool,
    /// Since when it is to end, and for how long it will be away.
    pub(super) hurried: Option<(Millis, Millis)>,
}

impl Life {
    pub(super) fn new(events: usize, lanes: usize) -> Self {
        Self {
            order: vec![Vec::new(); lanes],
            accepted: 0,
            place: vec![None; events],
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
            released: false,
            connected: true,
            hurried: None,
        }
    }

    pub(super) fn accept(&mut self, event: Number, lane: usize) {
        self.order[lane].push(event);
        self.place[event] = Some(self.accepted);
        self.accepted += 1;
        self.discarded[event] = false;
    }

    pub(super) fn discard(&mut self, event: Number) {
        (self.discarded[event], self.meddled[event]) = (true, true);
        self.requested[event] = false;
        let seqs = &self.seqs;
        self.durable.retain(|seq| !seqs.contains(&(*seq, event)));
        self.freed.extend(seqs.iter().filter(|(_, whose)| *whose == event).map(|(seq, _)| *seq));
    }

    /// When the event was accepted, by count; `None` where it was not, or is discarded.
    pub(super) fn place(&self, event: Number) -> Option<usize> {
        self.place[event].filter(|_| !self.discarded[event])
    }

    /// What of a lane was accepted before a place, and not discarded.
    pub(super) fn before(&self, place: Option<usize>, lane: usize) -> impl Iterator<Item = Number> {
        let accepted = self.order[lane].iter().copied();
        accepted.filter(move |other| self.place(*other).is_some_and(|earlier| Some(earlier) < place))
    }

    /// All that was accepted and not discarded.
    pub(super) fn all(&self) -> impl Iterator<Item = Number> {
        self.order.iter().flatten().copied().filter(|event| !self.discarded[*event])
    }

    pub(super) fn event_at(&self, seq: Seq) -> Option<Number> {
        self.seqs.iter().rev().find(|(there, _)| *there == seq).map(|(_, event)| *event)
    }
}
