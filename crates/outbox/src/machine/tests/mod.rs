//! Hand-written cases of the state machine. The simulation covers many more.

mod answers;
mod lanes;
mod redrive;
mod replay;

use idaas_callback::Reason;

use super::*;
use crate::event::{Loaded, Recovered};
use crate::{DeliveryReport, DiscardOutcome, FailureCode, LaneKey, Published, RedriveOutcome, WaitReason};

/// An event in its first form, or as a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    /// An event with two records.
    Pair,
    Letter,
}

impl Publication for Form {
    fn records(&self) -> u8 {
        if *self == Self::Pair { 2 } else { 1 }
    }

    fn bytes(&self) -> usize {
        1
    }

    fn detached(&self) -> Option<Self> {
        None
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Whole | Self::Pair => Verdict::Confirmed,
            Self::Letter => Verdict::DeadLettered(Reason::RefusedByBroker),
        }
    }

    fn fallback(&self) -> Option<Self> {
        (*self != Self::Letter).then_some(Self::Letter)
    }
}

const SOON: Deadlines = Deadlines { write: 7_500, answer: 8_500 };

/// A command without its subject.
#[derive(Debug, PartialEq, Eq)]
enum Issued {
    Produce(u64, Form),
    Write(u64),
    Delete(u64),
    Cancel(u64),
    Load(u64),
    Answer(&'static str, Vec<Verdict>),
}

/// An entry of the journal in the lane with that number.
fn entry(seq: u64, lane: u64, event_time: i64, bytes: usize) -> Recovered {
    Recovered { seq: Seq(seq), key: EventKey::of("app", &seq.to_string()), lane: LaneKey(lane), event_time, bytes }
}

struct Harness {
    outbox: Outbox<Form, &'static str>,
    handles: Vec<EventHandle>,
    /// The records that the last produce command left out.
    confirmed: u8,
}

impl Harness {
    fn new(events: usize) -> Self {
        let mut outbox = Outbox::new(Limits { events, bytes: 1 << 20, replay: 8, replay_bytes: 1 << 20 });
        outbox.enable_replay();
        Self { outbox, handles: Vec::new(), confirmed: 0 }
    }

    /// Admits events by number, each in its own lane.
    fn admit(&mut self, who: &'static str, events: std::ops::Range<u64>) -> Vec<Admitted> {
        let new_events = events.map(|event| NewEvent {
            key: EventKey::of("app", &event.to_string()),
            lane: LaneKey(event),
            event_time: 0,
            obstacle: None,
            publication: Arc::new(Form::Whole),
        });
        self.outbox.admit(new_events, who, SOON).1
    }

    fn admit_one(&mut self, event: u64, lane: u64, event_time: i64, publication: Form) {
        let key = EventKey::of("app", &event.to_string());
        let (lane, publication) = (LaneKey(lane), Arc::new(publication));
        let new_event = NewEvent { key, lane, event_time, obstacle: None, publication };
        self.outbox.admit([new_event], "one", SOON);
    }

    fn issued(&mut self) -> Vec<Issued> {
        let mut issued = Vec::new();
        for command in self.outbox.commands() {
            issued.push(match command {
                Command::Produce(handle, form, confirmed) => {
                    self.confirmed = confirmed;
                    self.handles.push(handle);
                    Issued::Produce(handle.seq.0, *form)
                }
                Command::Write(handle, _) => Issued::Write(handle.seq.0),
                Command::Delete(seq) => Issued::Delete(seq.0),
                Command::Cancel(seq) => Issued::Cancel(seq.0),
                Command::Load(handle) => {
                    self.handles.push(handle);
                    Issued::Load(handle.seq.0)
                }
                Command::Answer(finished) => Issued::Answer(finished.waiter, finished.verdicts),
            });
        }
        issued
    }

    /// Executes the commands, the last of which reads an event of one record from the journal.
    fn load_whole(&mut self, now: Millis) {
        assert!(matches!(self.issued().last(), Some(Issued::Load(_))));
        self.outbox.loaded(self.last(), Loaded::Found(Form::Whole), now);
    }

    fn redrive(&mut self, event: u64) -> RedriveOutcome {
        self.outbox.redrive(EventKey::of("app", &event.to_string()))
    }

    fn last(&self) -> EventHandle {
        *self.handles.last().unwrap()
    }
}
