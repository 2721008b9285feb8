//! What is true whatever the machines believe: which records the topics hold, what was promised to whom.

use super::cargo::{Cargo, Nature, Number};
use super::life::Life;
use crate::outbox::event::Parcel;
use crate::outbox::verdict::Verdict;
use crate::outbox::{DeliveryId, Millis};

/// One request, from its sender's hand to its answer.
pub(super) struct Delivery {
    pub(super) callback: usize,
    pub(super) attempt: usize,
    pub(super) replica: usize,
    pub(super) life: usize,
    pub(super) events: Vec<Number>,
    /// Which of its events had their verdicts at admission.
    pub(super) known: Vec<Option<Verdict>>,
    pub(super) deadline: Millis,
    pub(super) id: Option<DeliveryId>,
    pub(super) answered: bool,
    /// Whether its sender has hung up, and the machine knows.
    pub(super) abandoned: bool,
}

/// The truth.
pub(super) struct Ledger {
    pub(super) natures: Vec<Nature>,
    /// Which records of which form of each event were persisted.
    landed: Vec<[[bool; 2]; 3]>,
    /// The verdict that each event has earned, once all records of a form are persisted.
    pub(super) complete: Vec<Option<Verdict>>,
    /// In the order in which they became complete.
    pub(super) topics: Vec<Number>,
    /// Events of which a replica has said that it keeps them.
    pub(super) promises: Vec<(Number, usize)>,
    pub(super) deliveries: Vec<Delivery>,
    /// Those of them whose answers are still to come.
    pub(super) open: Vec<usize>,
    pub(super) duplicates: u64,
}

impl Ledger {
    pub(super) fn new(natures: Vec<Nature>) -> Self {
        let events = natures.len();
        Self {
            natures,
            landed: vec![[[false; 2]; 3]; events],
            complete: vec![None; events],
            topics: Vec::new(),
            promises: Vec::new(),
            deliveries: Vec::new(),
            open: Vec::new(),
            duplicates: 0,
        }
    }

    pub(super) fn is_complete(&self, event: Number) -> bool {
        self.complete[event].is_some()
    }

    /// A record stands in its topic. Says whether the event is complete by it for the first time; `sender` is the life
    /// of whoever handed it over, and `place` the event's in it.
    pub(super) fn land(
        &mut self,
        cargo: &Cargo,
        part: u8,
        place: Option<usize>,
        sender: &Life,
    ) -> Result<bool, String> {
        let event = cargo.nature.event;
        self.landed[event][usize::from(cargo.form)][usize::from(part)] = true;
        if self.is_complete(event) {
            self.duplicates += 1;
            return Ok(false);
        }
        if let Some(passed) = sender.before(place, cargo.nature.lane).find(|other| !self.is_complete(*other)) {
            return Err(format!("event {event} is in its topic before {passed}, which was accepted before it"));
        }
        if !self.is_whole(cargo) {
            return Ok(false);
        }
        self.complete[event] = Some(cargo.verdict());
        self.topics.push(event);
        self.promises.retain(|(promised, _)| *promised != event);
        Ok(true)
    }

    /// Whether all records of the event were persisted in a form with that verdict.
    pub(super) fn earned(&self, event: Number, verdict: Verdict) -> bool {
        let forms = std::iter::successors(Some(self.natures[event].first()), Parcel::smaller);
        forms.into_iter().any(|form| form.verdict() == verdict && self.is_whole(&form))
    }

    fn is_whole(&self, cargo: &Cargo) -> bool {
        let records = &self.landed[cargo.nature.event][usize::from(cargo.form)];
        records[..usize::from(cargo.records())].iter().all(|record| *record)
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
