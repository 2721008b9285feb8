//! The events of a schedule, and their publications.

use idaas_callback::Reason;

use super::rng::{About, RngExt, SimRng, mix};
use crate::event::Publication;
use crate::verdict::Verdict;
use crate::{EventKey, LaneKey};

/// An event's number in the schedule.
pub(super) type Number = usize;

/// The specification of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventSpec {
    pub(super) event: Number,
    pub(super) lane: usize,
    /// The number of records of its first form.
    parts: u8,
    bytes: usize,
    /// When it happened. Many events happen at the same time.
    pub(super) time: i64,
    /// True if it is a dead letter from the start.
    dead: bool,
    /// True if it has a single record, and the topics do not show that it has no second one.
    alone: bool,
    /// The number of its forms, each smaller than the one before.
    forms: u8,
    /// How many forms, from the first on, the broker rejects. It rejects all of them only while there are faults.
    refused: u8,
}

impl EventSpec {
    pub(super) fn of(sim_rng: SimRng, event: Number, lanes: usize) -> Self {
        let mut rng = sim_rng.on(About::Event, [event as u64]);
        let forms = rng.u8(1..=3);
        let refused = if rng.permille(120) { rng.u8(1..=forms) } else { 0 };
        let alone = sim_rng.on(About::Alone, [event as u64]).permille(300);
        let lane = rng.usize(0..lanes);
        let two_records = rng.permille(250);
        let bytes = if rng.permille(100) { rng.usize(1_000..=8_000) } else { rng.usize(100..=1_000) };
        let time = if rng.permille(600) { event as i64 / 2 } else { rng.i64(0..=6) };
        let dead = rng.permille(100);
        Self {
            event,
            lane,
            // A dead letter is a single record.
            parts: if two_records && !dead { 2 } else { 1 },
            bytes,
            time,
            dead,
            alone,
            forms,
            refused,
        }
    }

    /// Returns true if the topics show its records individually.
    pub(super) const fn is_told_by_record(&self) -> bool {
        !self.dead && (self.parts == 2 || self.alone)
    }

    pub(super) fn key(&self) -> EventKey {
        key(self.event)
    }

    pub(super) const fn lane_key(&self) -> LaneKey {
        lane_key(self.lane)
    }

    pub(super) const fn first(self) -> Payload {
        Payload { spec: self, form: 0, attached: true }
    }
}

/// Returns the lane with that number.
pub(super) const fn lane_key(lane: usize) -> LaneKey {
    LaneKey(mix(lane as u64))
}

/// Returns the event of a key.
pub(super) fn number(key: EventKey) -> Number {
    let [.., a, b, c, d, e, f, g, h] = key.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize
}

/// Returns the key of an event.
pub(super) fn key(event: Number) -> EventKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(event as u64).to_le_bytes());
    key[8..].copy_from_slice(&(event as u64).to_le_bytes());
    EventKey(key)
}

/// An event in one of its forms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    pub(super) spec: EventSpec,
    pub(super) form: u8,
    /// True if it keeps its request in memory.
    pub(super) attached: bool,
}

impl Payload {
    /// Returns true if the broker rejects it permanently. `faulty` is true as long as there are faults.
    pub(super) const fn refused(&self, faulty: bool) -> bool {
        let last = self.form + 1 == self.spec.forms;
        self.form < self.spec.refused && (faulty || !last)
    }
}

impl Publication for Payload {
    fn records(&self) -> u8 {
        if self.form == 0 { self.spec.parts } else { 1 }
    }

    fn bytes(&self) -> usize {
        self.spec.bytes >> self.form
    }

    fn detached(&self) -> Option<Self> {
        self.attached.then_some(Self { attached: false, ..*self })
    }

    fn verdict(&self) -> Verdict {
        match (self.spec.dead, self.form) {
            (true, _) => Verdict::DeadLettered(Reason::MalformedData),
            (false, 0) => Verdict::Confirmed,
            (false, _) => Verdict::DeadLettered(Reason::RefusedByBroker),
        }
    }

    fn fallback(&self) -> Option<Self> {
        (self.form + 1 < self.spec.forms).then_some(Self { form: self.form + 1, ..*self })
    }
}
