//! What was sent, and what was said of it: one entry per contact, with its time. Knows nothing of Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use idaas_simulator::sender::now_ms;
use parking_lot::Mutex;

/// One event, which may be sent several times.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) entity: String,
    /// Among the entity's events, from 0.
    pub(crate) number: u64,
    /// The callback that it came in first, and comes again in: two events of one callback share it.
    pub(crate) callback: usize,
}

/// What an answer said of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventAnswer {
    Success,
    Skipped,
    /// With the reason.
    Failed(String),
    /// To be sent again, and safe already.
    NotConfirmed,
    /// To be sent again, as there was no room.
    Overloaded,
    /// To be sent again, for a reason that is not known here.
    Retried(String),
    /// No verdict, more than one, or an unreadable answer.
    Nonsense,
}

impl EventAnswer {
    fn name(&self) -> String {
        match self {
            Self::Success => "success".to_owned(),
            Self::Skipped => "skipped".to_owned(),
            Self::Failed(reason) => format!("failed/{reason}"),
            Self::NotConfirmed => "not_confirmed".to_owned(),
            Self::Overloaded => "overloaded".to_owned(),
            Self::Retried(code) => format!("retried/{code}"),
            Self::Nonsense => "nonsense".to_owned(),
        }
    }
}

/// How one delivery ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// A 200, and what it said of each event, in the order of the delivery.
    Answered(Vec<EventAnswer>),
    /// Another status, with its error code.
    Refused(u16, String),
    /// No answer: not connected, or cut off.
    Cut(&'static str),
    /// No answer in the time that IDaaS waits.
    TooLate,
}

/// One delivery of one callback, whole or in part.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    /// Events, as positions in the ledger, in the order in which they stood in the request.
    pub(crate) events: Vec<usize>,
    /// Since the load began: before the first byte was sent.
    pub(crate) began: Duration,
    /// Since the load began: when the answer was there in whole.
    pub(crate) ended: Duration,
    /// The same by the system's clock, in milliseconds since 1970: comparable to what brokers write.
    pub(crate) ended_at: i64,
    pub(crate) end: End,
}

/// Everything that was sent and said.
pub(crate) struct Ledger {
    start: Instant,
    snapshot: Mutex<LedgerSnapshot>,
}

/// The ledger's content.
#[derive(Default)]
pub(crate) struct LedgerSnapshot {
    pub(crate) events: Vec<Sent>,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) callbacks: usize,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), snapshot: Mutex::default() }
    }

    /// Time since the load began.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Enters the events (entity, number, id) of one new callback; returns its number and the first one's
    /// position, which the others follow.
    pub(super) fn enter(&self, events: impl IntoIterator<Item = (String, u64, String)>) -> (usize, usize) {
        let mut snapshot = self.snapshot.lock();
        let (first, callback) = (snapshot.events.len(), snapshot.callbacks);
        snapshot.callbacks += 1;
        snapshot.events.extend(events.into_iter().map(|(entity, number, id)| Sent { id, entity, number, callback }));
        (callback, first)
    }

    /// Enters a delivery that has ended just now.
    pub(super) fn close(&self, events: Vec<usize>, began: Duration, end: End) {
        // Both clocks are read here, after the answer: what it claims must have been true before.
        let (ended, ended_at) = (self.elapsed(), now_ms());
        self.snapshot.lock().contacts.push(Contact { events, began, ended, ended_at, end });
    }

    /// How many deliveries have ended.
    pub(crate) fn contacts(&self) -> usize {
        self.snapshot.lock().contacts.len()
    }

    /// How many deliveries ended so, by the names of [`LedgerSnapshot::answers`]: per event where there was an answer.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.snapshot.lock().answers().get(name).copied().unwrap_or_default()
    }

    #[allow(dead_code, reason = "only the soak looks at parts of a load")]
    /// How many deliveries have ended since there were that many, and the slowest of them.
    pub(crate) fn since(&self, contacts: usize) -> (usize, Duration) {
        let snapshot = self.snapshot.lock();
        let ended = &snapshot.contacts[contacts..];
        let took = ended.iter().map(|contact| contact.ended.saturating_sub(contact.began));
        (ended.len(), took.max().unwrap_or_default())
    }

    /// Takes it all out.
    pub(super) fn take(&self) -> LedgerSnapshot {
        std::mem::take(&mut *self.snapshot.lock())
    }
}

impl LedgerSnapshot {
    /// How often each thing was said: per event for what stood in an answer, per delivery for the rest.
    pub(crate) fn answers(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut count = |name: String| *counts.entry(name).or_default() += 1;
        for contact in &self.contacts {
            match &contact.end {
                End::Answered(said) => said.iter().for_each(|said| count(said.name())),
                End::Refused(status, code) => count(format!("{status} {code}")),
                End::Cut(how) => count((*how).to_owned()),
                End::TooLate => count("no answer in 10 s".to_owned()),
            }
        }
        counts
    }

    /// Everything that was said of one event, for people.
    pub(crate) fn history(&self, event: usize) -> String {
        let sent = &self.events[event];
        let mut text = format!("{} ({} n={}, callback {})", sent.id, sent.entity, sent.number, sent.callback);
        for contact in &self.contacts {
            let Some(index) = contact.events.iter().position(|known| *known == event) else { continue };
            let said = match &contact.end {
                End::Answered(said) => said[index].name(),
                End::Refused(status, code) => format!("{status} {code}"),
                End::Cut(how) => (*how).to_owned(),
                End::TooLate => "nothing in 10 s".to_owned(),
            };
            text += &format!("; {:.3} to {:.3} s: {said}", contact.began.as_secs_f64(), contact.ended.as_secs_f64());
        }
        text
    }

    /// When one delivery began and ended, and how, for people.
    pub(crate) fn delivery(&self, contact: usize) -> String {
        let contact = &self.contacts[contact];
        let (began, ended) = (contact.began.as_secs_f64(), contact.ended.as_secs_f64());
        let how = match &contact.end {
            End::Answered(said) => {
                let names: BTreeSet<_> = said.iter().map(EventAnswer::name).collect();
                names.into_iter().collect::<Vec<_>>().join(", ")
            }
            End::Refused(status, code) => format!("{status} {code}"),
            End::Cut(how) => (*how).to_owned(),
            End::TooLate => "nothing in 10 s".to_owned(),
        };
        format!(
            "{began:.3} to {ended:.3} s, {} events from {}: {how}",
            contact.events.len(),
            self.events[contact.events[0]].id
        )
    }
}
