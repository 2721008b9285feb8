//! An entity to which events are applied one after another, as by the runtime.

use idaas_state::{Entry, Event, Outcome, Record, State, apply};
use serde_json::Value;

/// One entity as the runtime keeps it: as JSON between two events, so that nothing is lost in the topic.
#[derive(Default, Clone, PartialEq, Debug)]
pub(crate) struct Folded {
    pub(crate) known: Option<Entry>,
}

impl Folded {
    /// Returns true if the event changed anything.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        self.publish(event).is_some()
    }

    /// Returns the record that the event gives.
    pub(crate) fn publish(&mut self, event: &Event) -> Option<Record> {
        let known = self.known.take().map(|entry| match entry {
            Entry::Live(state) => Entry::Live(Box::new(State::from_json(event.entity, &state.to_json()).unwrap())),
            deleted @ Entry::Deleted(_) => deleted,
        });
        let change = apply(known.clone(), event);
        let record = Record::of(event, &change.outcome);
        match change.outcome {
            Outcome::Unchanged => self.known.clone_from(&known),
            Outcome::Updated(state) => {
                assert_eq!(State::from_json(event.entity, &state.to_json()).as_ref(), Ok(&*state));
                self.known = Some(Entry::Live(state));
            }
            Outcome::Deleted(deletion) => self.known = Some(Entry::Deleted(deletion)),
        }
        assert_eq!(self.known != known, record.is_some());
        record
    }

    pub(crate) fn live(&self) -> Option<&State> {
        match self.known.as_ref()? {
            Entry::Live(state) => Some(state),
            Entry::Deleted(_) => None,
        }
    }

    pub(crate) fn value(&self) -> Option<Value> {
        self.live().map(|state| serde_json::from_slice(&state.to_json()).unwrap())
    }
}
