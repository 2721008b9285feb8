//! The machine under test, with a defect planted where one is asked for.

use super::cargo::Cargo;
use crate::outbox::event::{Arrival, Parcel};
use crate::outbox::machine::{Admitted, Command, Deadlines, Limits, Outbox};
use crate::outbox::verdict::Verdict;
use crate::outbox::{DeliveryId, EventKey, LaneKey, Millis, Report, Seq, Token};

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {}

/// The machine; a delivery's waiter is its number.
pub(super) struct Machine {
    pub(super) outbox: Outbox<Cargo, usize>,
}

impl Machine {
    pub(super) fn new(limits: Limits, _defect: Option<Defect>) -> Self {
        Self { outbox: Outbox::new(limits) }
    }

    /// Whether the arrivals fit, all of them.
    pub(super) fn has_room(&self, arrivals: &[Arrival<Cargo>]) -> bool {
        let bytes: usize = arrivals.iter().map(|arrival| arrival.parcel.bytes()).sum();
        let Limits { events, bytes: most, .. } = self.outbox.limits;
        self.outbox.held + arrivals.len() <= events && self.outbox.held_bytes + bytes <= most
    }

    pub(super) fn admit(&mut self, arrivals: Vec<Arrival<Cargo>>, delivery: usize, deadlines: Deadlines) -> (DeliveryId, Vec<Admitted>) {
        self.outbox.admit(arrivals, delivery, deadlines)
    }

    pub(super) fn abandon(&mut self, delivery: DeliveryId) {
        self.outbox.abandon(delivery);
    }

    pub(super) fn report(&mut self, token: Token, report: Report, now: Millis) {
        self.outbox.report(token, report, now);
    }

    pub(super) fn connected(&mut self, is: bool) {
        self.outbox.connected(is);
    }

    pub(super) fn release(&mut self) {
        self.outbox.release();
    }

    pub(super) fn recover(&mut self, entries: impl IntoIterator<Item = (Seq, EventKey, LaneKey)>, next: Seq) {
        self.outbox.recover(entries, next);
    }

    pub(super) fn learn(&mut self, key: EventKey, verdict: Verdict, now: Millis) {
        self.outbox.learn(key, verdict, now);
    }

    pub(super) fn discard(&mut self, key: EventKey) -> bool {
        self.outbox.discard(key)
    }

    pub(super) fn written(&mut self, seqs: Vec<Seq>) {
        self.outbox.written(seqs);
    }

    pub(super) fn refused(&mut self, seqs: Vec<Seq>) {
        self.outbox.refused(seqs);
    }

    pub(super) fn loaded(&mut self, token: Token, cargo: Option<Cargo>, now: Millis) {
        self.outbox.loaded(token, cargo, now);
    }

    pub(super) fn tick(&mut self, now: Millis) {
        self.outbox.tick(now);
    }

    pub(super) fn hurry(&mut self, deadline: Millis) {
        self.outbox.hurry(deadline);
    }

    pub(super) fn commands(&mut self) -> Vec<Command<Cargo, usize>> {
        self.outbox.commands()
    }

    pub(super) fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    pub(super) fn pending(&self) -> usize {
        self.outbox.pending()
    }

    /// When the machine has to be told the time.
    pub(super) fn due(&self) -> Option<Millis> {
        let alarm = self.outbox.deliveries.alarms.first().map(|(at, _)| *at);
        let retry = self.outbox.backing_off.first().map(|(at, _)| *at);
        alarm.into_iter().chain(retry).min()
    }

    pub(super) fn audit(&self, _limits: &Limits) -> Result<(), String> {
        self.outbox.audit()
    }
}
