//! The requests that wait for verdicts, each with its deadline.

use std::collections::{BTreeSet, HashMap};

use super::event::Token;
use super::verdict::Verdict;
use super::{Finished, Millis};

/// One HTTP request whose events are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(u64);

/// One event of a delivery.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// Its verdict.
    Known(Verdict),
    /// Where the event is found.
    Open(Token),
}

pub(super) struct Delivery<W> {
    waiter: W,
    pub(super) wants: Vec<Want>,
    pub(super) open: usize,
    /// What of it is not durable yet is written then.
    write_at: Millis,
    deadline: Millis,
    written: bool,
}

/// All requests that wait.
pub(super) struct Deliveries<W> {
    pub(super) waiting: HashMap<DeliveryId, Delivery<W>>,
    /// The next moment at which something is to be done for each.
    pub(super) alarms: BTreeSet<(Millis, DeliveryId)>,
    next: u64,
}

/// What a moment asks for.
pub(super) enum Alarm {
    /// These events are to be written.
    Write(Vec<Token>),
    /// The delivery is to be answered now; these of its events, by position, have no verdict yet.
    Answer(DeliveryId, Vec<(u32, Token)>),
}

impl<W> Deliveries<W> {
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new(), alarms: BTreeSet::new(), next: 0 }
    }

    /// The id of the next delivery.
    pub(super) const fn upcoming(&self) -> DeliveryId {
        DeliveryId(self.next)
    }

    /// Takes a delivery in; returns it at once where nothing of it is open.
    pub(super) fn insert(
        &mut self,
        waiter: W,
        wants: Vec<Want>,
        (write_at, deadline): (Millis, Millis),
    ) -> Option<Finished<W>> {
        let id = self.upcoming();
        self.next += 1;
        let open = wants.iter().filter(|want| matches!(want, Want::Open(_))).count();
        let delivery = Delivery { waiter, wants, open, write_at, deadline, written: false };
        if open == 0 {
            return Some(delivery.finish());
        }
        self.alarms.insert((write_at, id));
        self.waiting.insert(id, delivery);
        None
    }

    pub(super) fn contains(&self, id: DeliveryId) -> bool {
        self.waiting.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells a delivery the verdict on its event at `position`. Returns it when that was the last.
    pub(super) fn tell(&mut self, id: DeliveryId, position: u32, verdict: Verdict) -> Option<Finished<W>> {
        let delivery = self.waiting.get_mut(&id)?;
        let want = delivery.wants.get_mut(position as usize)?;
        if matches!(want, Want::Known(_)) {
            return None;
        }
        *want = Want::Known(verdict);
        delivery.open -= 1;
        if delivery.open == 0 { self.remove(id) } else { None }
    }

    /// Forgets a delivery; returns it as far as it is known.
    pub(super) fn remove(&mut self, id: DeliveryId) -> Option<Finished<W>> {
        let delivery = self.waiting.remove(&id)?;
        self.alarms.remove(&(delivery.alarm(), id));
        Some(delivery.finish())
    }

    /// What is due at `now`, one thing at a time.
    pub(super) fn due(&mut self, now: Millis) -> Option<Alarm> {
        let (at, id) = *self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, id));
        let delivery = self.waiting.get_mut(&id)?;
        if delivery.written {
            return Some(Alarm::Answer(id, delivery.open()));
        }
        delivery.written = true;
        self.alarms.insert((delivery.deadline, id));
        Some(Alarm::Write(delivery.open().into_iter().map(|(_, token)| token).collect()))
    }

    /// Brings all deadlines forward: to be written now, to be answered at `deadline` at the latest.
    pub(super) fn hurry(&mut self, deadline: Millis) {
        self.alarms.clear();
        for (id, delivery) in &mut self.waiting {
            delivery.deadline = delivery.deadline.min(deadline);
            delivery.write_at = 0;
            self.alarms.insert((delivery.alarm(), *id));
        }
    }
}

impl<W> Delivery<W> {
    pub(super) const fn alarm(&self) -> Millis {
        if self.written { self.deadline } else { self.write_at }
    }

    pub(super) fn open(&self) -> Vec<(u32, Token)> {
        let open = (0..).zip(&self.wants).filter_map(|(position, want)| match want {
            Want::Open(token) => Some((position, *token)),
            Want::Known(_) => None,
        });
        open.collect()
    }

    fn finish(self) -> Finished<W> {
        let verdict = |want| match want {
            Want::Known(verdict) => verdict,
            // Nobody has promised anything of it.
            Want::Open(_) => Verdict::Overloaded,
        };
        Finished { waiter: self.waiter, verdicts: self.wants.into_iter().map(verdict).collect() }
    }
}
