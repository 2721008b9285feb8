//! The latest events, in memory: what became of each, for operators who look at the console.
//!
//! Ids, places and times only, and nothing of what an event says about anybody. The size is fixed, and recording an event
//! allocates nothing: it copies two short ids and holds what is shared anyway.

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

/// How many events are held. With 200 bytes each, that is 2 MB.
pub const CAPACITY: usize = 10_000;

/// How much is kept of an id, in bytes. Those of IDaaS have 31 or 32.
const MAX_ID_LENGTH: usize = 64;

/// How many events are looked at before others may be recorded.
const SCAN_CHUNK: u64 = 512;

/// How much is in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistorySize {
    /// Events that are held.
    pub held: usize,
    /// Events that were recorded since the start.
    pub total: u64,
    /// When the oldest that is held was recorded, in milliseconds since 1970.
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
    /// How many events were recorded.
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

/// The beginning of an id.
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

    /// Returns true if the id begins with `query`, as far as it is kept.
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

    /// The number of the oldest event that is held.
    fn oldest(&self) -> u64 {
        self.total.saturating_sub(self.slots.len() as u64)
    }

    /// The event of that number, if it is still held.
    fn get(&self, number: u64) -> Option<&Slot> {
        (number >= self.oldest() && number < self.total).then(|| self.slots.get(Self::position(number))).flatten()
    }
}

impl History {
    /// Records events from now on.
    pub fn start(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    /// Records an event. Returns at once if the history is disabled.
    pub fn record(&self, event: &RecordedEvent<'_>) {
        // A credential is a part of its user's event.
        if self.on.load(Ordering::Relaxed) && event.entity != Entity::Credential {
            let slot = Slot::of(event);
            self.ring.lock().push(slot);
        }
    }

    /// How much is in the history.
    #[must_use]
    pub fn size(&self) -> HistorySize {
        let ring = self.ring.lock();
        let oldest = ring.get(ring.oldest()).map(|slot| slot.time);
        HistorySize { held: ring.slots.len(), total: ring.total, oldest }
    }

    /// The newest events, the newest first.
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<ShownEvent> {
        self.find("", limit)
    }

    /// The newest events whose id, or whose entity's id, begins with `query`; the newest first.
    ///
    /// Others can be recorded meanwhile; what they overwrite is not found any more.
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

    /// The latest full pushes, the newest first.
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
