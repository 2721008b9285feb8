//! The latest events, in memory, for the console.
//!
//! Contains ids, positions and times only, but no personal data. The number of events and the length of their ids are
//! limited.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use parking_lot::Mutex;
use serde::Serialize;

use super::event::{CUT, EventView, RecordedEvent};
use super::pushes::{Push, Pushes};
use crate::clock;

/// The maximum number of events. With 200 bytes each, they take 2 MB.
pub const CAPACITY: usize = 10_000;

/// The maximum length of an id, in bytes; longer ones are cut. Those of IDaaS have 31 or 32.
const MAX_ID_LENGTH: usize = 64;

/// The number of events that a search reads before it releases the lock.
const SCAN_CHUNK: u64 = 512;

/// The size of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistorySize {
    /// The number of events in the history.
    pub held: usize,
    /// The number of events recorded since the start.
    pub total: u64,
    /// The time at which the oldest event in the history was recorded, in milliseconds since 1970.
    pub oldest: Option<i64>,
}

/// The latest events.
#[derive(Default)]
pub struct History {
    on: AtomicBool,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    slots: Vec<Slot>,
    /// The number of events recorded.
    total: u64,
    pushes: Pushes,
}

struct Slot {
    time: i64,
    event: RecordedEvent,
}

/// Returns true if the id begins with `query`, as far as it is kept.
fn matches(id: &str, query: &str) -> bool {
    id.starts_with(query) || id.strip_suffix(CUT).is_some_and(|begin| query.starts_with(begin))
}

impl Slot {
    fn matches(&self, query: &str) -> bool {
        let event = &self.event.event;
        matches(event.event_id(), query) || event.entity_id().is_some_and(|id| matches(id, query))
    }

    fn to_view(&self) -> EventView {
        let RecordedEvent { application, entity, event, published } = &self.event;
        let action = event.action.map_or("", Action::name);
        let dot = if action.is_empty() { "" } else { "." };
        let published = published.as_ref();
        EventView {
            time: self.time,
            r#type: [entity.name(), dot, action].concat(),
            event_id: event.event_id().to_owned(),
            entity_id: event.entity_id().map(str::to_owned),
            application: application.name().to_owned(),
            list: event.verdict.list().name(),
            verdict: event.verdict.code(),
            topic: published.map(|_| event.topic.to_string()),
            partition: published.map(|at| at.partition),
            offset: published.map(|at| at.offset).filter(|offset| *offset >= 0),
            milliseconds: published.map(|at| (at.took.as_secs_f64() * 1e5).round() / 1e2),
        }
    }
}

impl Ring {
    fn position(number: u64) -> usize {
        usize::try_from(number % CAPACITY as u64).unwrap_or_default()
    }

    fn push(&mut self, slot: Slot) {
        let RecordedEvent { application, entity, event, published } = &slot.event;
        if event.action == Some(Action::Snapshot) && published.is_some() {
            self.pushes.snapshot(application, *entity, slot.time);
        }
        match self.slots.get_mut(Self::position(self.total)) {
            Some(oldest) => *oldest = slot,
            None => self.slots.push(slot),
        }
        self.total += 1;
    }

    /// Returns the number of the oldest event in the history.
    fn oldest(&self) -> u64 {
        self.total.saturating_sub(self.slots.len() as u64)
    }

    /// Returns the event with this number, if it is still in the history.
    fn get(&self, number: u64) -> Option<&Slot> {
        (number >= self.oldest() && number < self.total).then(|| self.slots.get(Self::position(number))).flatten()
    }
}

impl History {
    /// Starts recording.
    pub fn start(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    /// Records an event at a time, since 1970. Does nothing before [`History::start`].
    pub fn record(&self, recorded: RecordedEvent, at: Duration) {
        // A credential belongs to its user's event.
        if self.on.load(Ordering::Relaxed) && recorded.entity != Entity::Credential {
            let event = recorded.event.with_ids_up_to(MAX_ID_LENGTH);
            let slot = Slot { time: clock::milliseconds(at), event: RecordedEvent { event, ..recorded } };
            self.ring.lock().push(slot);
        }
    }

    /// Returns the size of the history.
    #[must_use]
    pub fn size(&self) -> HistorySize {
        let ring = self.ring.lock();
        let oldest = ring.get(ring.oldest()).map(|slot| slot.time);
        HistorySize { held: ring.slots.len(), total: ring.total, oldest }
    }

    /// Returns the latest events, newest first.
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<EventView> {
        self.find("", limit)
    }

    /// Returns the latest events whose id, or whose entity's id, starts with `query`, newest first.
    ///
    /// Does not block recording, so events that are overwritten during the search are not found.
    #[must_use]
    pub fn find(&self, query: &str, limit: usize) -> Vec<EventView> {
        let mut found = Vec::new();
        let mut next = self.ring.lock().total;
        loop {
            let ring = self.ring.lock();
            let end = next.saturating_sub(SCAN_CHUNK).max(ring.oldest());
            if next <= end {
                return found;
            }
            for slot in (end..next).rev().filter_map(|number| ring.get(number)) {
                if slot.matches(query) {
                    found.push(slot.to_view());
                    if found.len() >= limit {
                        return found;
                    }
                }
            }
            next = end;
        }
    }

    /// Returns the latest full pushes, newest first.
    #[must_use]
    pub fn pushes(&self) -> Vec<Push> {
        self.ring.lock().pushes.views()
    }
}

#[cfg(test)]
#[path = "tests/history.rs"]
mod tests;
