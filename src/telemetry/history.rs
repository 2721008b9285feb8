//! The latest events, in memory, for the console.
//!
//! Contains ids, positions and times only, but no personal data. The size is fixed, and recording an event allocates
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idaas_callback::event_type::{Action, Entity};
use outbox::verdict::Verdict;
use parking_lot::Mutex;
use serde::Serialize;

use super::application::ApplicationMetrics;
use super::event::{RecordedEvent, ShownEvent};
use super::pushes::{Push, Pushes};

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
    application: Arc<ApplicationMetrics>,
    event_id: ShortId,
    entity_id: ShortId,
    entity: Entity,
    action: Option<Action>,
    verdict: Verdict,
    published: Option<Place>,
}

struct Place {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    took: Duration,
}

/// An id, cut to [`MAX_ID_LENGTH`].
#[derive(Clone, Copy)]
struct ShortId {
    bytes: [u8; MAX_ID_LENGTH],
    length: u8,
    is_cut: bool,
}

impl ShortId {
    fn of(id: &str) -> Self {
        let length = id.floor_char_boundary(MAX_ID_LENGTH);
        let mut bytes = [0; MAX_ID_LENGTH];
        for (to, from) in bytes.iter_mut().zip(id.as_bytes().iter().take(length)) {
            *to = *from;
        }
        Self { bytes, length: u8::try_from(length).unwrap_or_default(), is_cut: length < id.len() }
    }

    fn text(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    fn shown(&self) -> String {
        [self.text(), if self.is_cut { "…" } else { "" }].concat()
    }

    /// Returns true if the id starts with `query`, as far as the id is stored.
    fn matches(&self, query: &str) -> bool {
        self.text().starts_with(query) || (self.is_cut && query.starts_with(self.text()))
    }
}

impl Slot {
    fn of(event: &RecordedEvent<'_>) -> Self {
        let published = event.published.as_ref().map(|place| Place {
            topic: Arc::clone(place.topic),
            partition: place.partition,
            offset: place.offset,
            took: place.took,
        });
        Self {
            time: now(),
            application: Arc::clone(event.application),
            event_id: ShortId::of(event.event_id),
            entity_id: ShortId::of(event.entity_id.unwrap_or_default()),
            entity: event.entity,
            action: event.action,
            verdict: event.verdict,
            published,
        }
    }

    fn shown(&self) -> ShownEvent {
        let action = self.action.map_or("", Action::name);
        let dot = if action.is_empty() { "" } else { "." };
        let place = self.published.as_ref();
        ShownEvent {
            time: self.time,
            r#type: [self.entity.name(), dot, action].concat(),
            event_id: self.event_id.shown(),
            entity_id: (self.entity_id.length > 0).then(|| self.entity_id.shown()),
            application: self.application.name().to_owned(),
            list: self.verdict.list().name(),
            verdict: self.verdict.code(),
            topic: place.map(|place| place.topic.to_string()),
            partition: place.map(|place| place.partition),
            offset: place.map(|place| place.offset).filter(|offset| *offset >= 0),
            milliseconds: place.map(|place| (place.took.as_secs_f64() * 1e5).round() / 1e2),
        }
    }
}

impl Ring {
    fn position(number: u64) -> usize {
        usize::try_from(number % CAPACITY as u64).unwrap_or_default()
    }

    fn push(&mut self, slot: Slot) {
        if slot.action == Some(Action::Snapshot) && slot.published.is_some() {
            self.pushes.snapshot(&slot.application, slot.entity, slot.time);
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

    /// Records an event. Does nothing before [`History::start`].
    pub fn record(&self, event: &RecordedEvent<'_>) {
        // A credential belongs to its user's event.
        if self.on.load(Ordering::Relaxed) && event.entity != Entity::Credential {
            let slot = Slot::of(event);
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
    pub fn latest(&self, limit: usize) -> Vec<ShownEvent> {
        self.find("", limit)
    }

    /// Returns the latest events whose id, or whose entity's id, starts with `query`, newest first.
    ///
    /// Does not block recording, so events that are overwritten during the search are not found.
    #[must_use]
    pub fn find(&self, query: &str, limit: usize) -> Vec<ShownEvent> {
        let mut found = Vec::new();
        let mut next = self.ring.lock().total;
        loop {
            let ring = self.ring.lock();
            let end = next.saturating_sub(SCAN_CHUNK).max(ring.oldest());
            if next <= end {
                return found;
            }
            for slot in (end..next).rev().filter_map(|number| ring.get(number)) {
                if slot.event_id.matches(query) || (slot.entity_id.length > 0 && slot.entity_id.matches(query)) {
                    found.push(slot.shown());
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
        self.ring.lock().pushes.shown()
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "tests/history.rs"]
mod tests;
