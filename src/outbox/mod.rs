//! The outbox: which events are on their way, who waits for them, and what has become of them.
//!
//! A synchronous machine without clock, broker or tasks: inputs go in (a delivery is admitted, a report arrives, a
//! deadline passes), and what is to be done comes out. [`dispatch`] connects it to the producer and to the requests.
//! It says [`Verdict::Confirmed`] only of an event all of whose records the broker has confirmed.

pub mod dispatch;
mod identity;
mod memory;
pub mod verdict;

use std::collections::HashMap;
use std::sync::Arc;

pub use identity::{EventKey, LaneKey, Seq};
use memory::Memory;
use verdict::Verdict;

use crate::prepare::policy::Policy;
use crate::prepare::record::Record;
use crate::prepare::{Evidence, Reason};

/// Milliseconds of a monotonic clock, counted from the start of the process.
pub type Millis = u64;

/// One HTTP request whose events are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryId(u64);

/// An event of a delivery that is to be published.
pub struct Arrival {
    /// Who it is.
    pub key: EventKey,
    /// How many records it is made of: the event's own, and perhaps a credential.
    pub records: u8,
    /// The verdict when they are confirmed.
    pub verdict: Verdict,
    /// What a dead letter would be made of.
    pub evidence: Evidence,
    /// How it would be made.
    pub policy: Arc<Policy>,
}

/// What the broker said of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Persisted on all in-sync replicas.
    Confirmed,
    /// It will never be taken, alone or not.
    Refused,
    /// Not persisted, as far as is known; another attempt can succeed.
    Failed,
    /// The producer has no room for it.
    NoRoom,
}

/// What becomes of one event of a delivery at its admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It is new: its records are to be produced now.
    New,
    /// It is on its way already; the delivery waits with the others.
    Joined,
    /// Its verdict is known.
    Known(Verdict),
}

/// A delivery all of whose verdicts are known.
pub struct Finished<W> {
    /// Who waits.
    pub waiter: W,
    /// The verdicts, in the order of the arrivals.
    pub verdicts: Vec<Verdict>,
}

/// What follows from a report.
pub enum Step<W> {
    /// Nothing yet: other records of the event are on their way.
    Waiting,
    /// The event is resolved, and with it perhaps deliveries.
    Resolved(Verdict, Vec<Finished<W>>),
    /// The event's dead letter is to be produced in its place; with the reason, where it was no dead letter before.
    Produce(Box<Record>, Option<Reason>),
}

struct Pending {
    waiters: Vec<(DeliveryId, usize)>,
    records: u8,
    worst: Report,
    verdict: Verdict,
    letter: Form,
    evidence: Evidence,
    policy: Arc<Policy>,
}

/// Which form of the event is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Event,
    Original,
    Fingerprint,
}

struct Delivery<W> {
    waiter: W,
    verdicts: Vec<Option<Verdict>>,
    open: usize,
}

/// The machine. `W` is whatever a driver needs to wake a waiting request.
pub struct Outbox<W> {
    pending: HashMap<EventKey, Pending>,
    deliveries: HashMap<DeliveryId, Delivery<W>>,
    memory: Memory,
    limit: usize,
    next: u64,
}

impl<W> Outbox<W> {
    /// An empty outbox that takes at most `limit` events at a time.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { pending: HashMap::new(), deliveries: HashMap::new(), memory: Memory::new(), limit, next: 0 }
    }

    /// Takes a delivery in: `arrivals` are its events to be published, each id once. Says of each what becomes of it,
    /// and returns the finished delivery where nothing of it is open.
    pub fn admit(&mut self, arrivals: Vec<Arrival>, waiter: W) -> (DeliveryId, Vec<Admitted>, Option<Finished<W>>) {
        let id = DeliveryId(self.next);
        self.next += 1;
        let mut verdicts = Vec::with_capacity(arrivals.len());
        let mut admitted = Vec::with_capacity(arrivals.len());
        let mut full = false;
        for (slot, arrival) in arrivals.into_iter().enumerate() {
            let what = self.admit_one(arrival, (id, slot), full);
            // Once an event found no room no later one of the delivery may pass it.
            full |= what == Admitted::Known(Verdict::Overloaded);
            verdicts.push(if let Admitted::Known(verdict) = what { Some(verdict) } else { None });
            admitted.push(what);
        }
        let open = verdicts.iter().filter(|verdict| verdict.is_none()).count();
        let delivery = Delivery { waiter, verdicts, open };
        if open == 0 {
            return (id, admitted, Some(delivery.finish()));
        }
        self.deliveries.insert(id, delivery);
        (id, admitted, None)
    }

    fn admit_one(&mut self, arrival: Arrival, waiter: (DeliveryId, usize), full: bool) -> Admitted {
        if let Some(verdict) = self.memory.get(arrival.key) {
            return Admitted::Known(verdict);
        }
        if let Some(pending) = self.pending.get_mut(&arrival.key) {
            // Who has stopped waiting need not be kept in mind.
            pending.waiters.retain(|(delivery, _)| self.deliveries.contains_key(delivery));
            pending.waiters.push(waiter);
            return Admitted::Joined;
        }
        if full || self.pending.len() >= self.limit {
            return Admitted::Known(Verdict::Overloaded);
        }
        let Arrival { key, records, verdict, evidence, policy } = arrival;
        let worst = Report::Confirmed;
        let letter = Form::Event;
        self.pending.insert(key, Pending { waiters: vec![waiter], records, worst, verdict, letter, evidence, policy });
        Admitted::New
    }

    /// Takes the broker's report on one record of an event.
    pub fn report(&mut self, key: EventKey, report: Report, now: Millis) -> Step<W> {
        let Some(pending) = self.pending.get_mut(&key) else { return Step::Resolved(Verdict::NotConfirmed, vec![]) };
        pending.worst = worse(pending.worst, report);
        pending.records = pending.records.saturating_sub(1);
        if pending.records > 0 {
            return Step::Waiting;
        }
        let verdict = match pending.worst {
            Report::Confirmed => pending.verdict,
            Report::Failed => Verdict::NotConfirmed,
            Report::NoRoom => Verdict::Overloaded,
            Report::Refused => match pending.next_letter() {
                Some((record, reason)) => return Step::Produce(Box::new(record), reason),
                None => Verdict::NotConfirmed,
            },
        };
        Step::Resolved(verdict, self.resolve(key, verdict, now))
    }

    /// Ends the waiting of a delivery: what is not resolved stays on its way, and is answered as not confirmed.
    /// `None` where the delivery has finished already.
    pub fn expire(&mut self, delivery: DeliveryId) -> Option<Finished<W>> {
        self.deliveries.remove(&delivery).map(Delivery::finish)
    }

    /// How many events are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    fn resolve(&mut self, key: EventKey, verdict: Verdict, now: Millis) -> Vec<Finished<W>> {
        if verdict.is_final() {
            self.memory.insert(key, verdict, now);
        }
        let mut finished = Vec::new();
        for (id, slot) in self.pending.remove(&key).map(|pending| pending.waiters).unwrap_or_default() {
            let Some(delivery) = self.deliveries.get_mut(&id) else { continue };
            if let Some(open) = delivery.verdicts.get_mut(slot).filter(|open| open.is_none()) {
                *open = Some(verdict);
                delivery.open -= 1;
            }
            if delivery.open == 0 {
                finished.extend(self.deliveries.remove(&id).map(Delivery::finish));
            }
        }
        finished
    }
}

impl Pending {
    /// The next, smaller form of an event that the broker refuses; and the reason, where it was no dead letter before.
    fn next_letter(&mut self) -> Option<(Record, Option<Reason>)> {
        self.letter = match self.letter {
            // A dead letter that is refused can only have been too large.
            Form::Event if matches!(self.verdict, Verdict::DeadLettered(_)) => Form::Fingerprint,
            Form::Event => Form::Original,
            Form::Original => Form::Fingerprint,
            Form::Fingerprint => return None,
        };
        // Of several reasons the first counts.
        let (reason, news) = match self.verdict {
            Verdict::DeadLettered(reason) => (reason, None),
            Verdict::Confirmed | Verdict::NotSubscribed | Verdict::NotConfirmed | Verdict::Overloaded => {
                (Reason::RefusedByBroker, Some(Reason::RefusedByBroker))
            }
        };
        let record = self.evidence.dead_letter(reason, &self.policy, self.letter == Form::Fingerprint)?;
        self.verdict = Verdict::DeadLettered(reason);
        (self.worst, self.records) = (Report::Confirmed, 1);
        Some((record, news))
    }
}

impl<W> Delivery<W> {
    fn finish(self) -> Finished<W> {
        let verdicts = self.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::NotConfirmed)).collect();
        Finished { waiter: self.waiter, verdicts }
    }
}

/// Of two reports on records of one event, the one that decides. A failure outweighs a refusal: what can succeed
/// later must not be given up.
const fn worse(one: Report, other: Report) -> Report {
    const fn rank(report: Report) -> u8 {
        match report {
            Report::Confirmed => 0,
            Report::Refused => 1,
            Report::Failed => 2,
            Report::NoRoom => 3,
        }
    }
    if rank(one) < rank(other) { other } else { one }
}
