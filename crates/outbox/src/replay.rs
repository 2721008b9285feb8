//! Replay: reads publications that only the journal has, oldest first, and hands them to the producer.

use super::event::{EventHandle, Loaded, Publication, Stage};
use super::machine::{Command, Outbox};
use super::{FailureCode, Millis};

/// Back-off after an entry cannot be read, in milliseconds.
const UNREADABLE_BACK_OFF: Millis = 60_000;

impl<P: Publication, W> Outbox<P, W> {
    /// Enables replay. The driver calls it when the content of the topics is known, or cannot be determined.
    pub fn enable_replay(&mut self) {
        self.replay_enabled = true;
        self.replay();
    }

    /// Handles another cluster at the same address: events that the old cluster confirmed are not on it. Replay stops
    /// until [`Outbox::enable_replay`], because the topics have to be read first.
    pub fn cluster_replaced(&mut self) {
        self.dedup_cache.clear();
        self.replay_enabled = false;
        for (_, event) in &mut self.events {
            (event.confirmed, event.published_verdict) = (0, None);
        }
    }

    /// Reads parked heads back, oldest first, up to the limits.
    pub(super) fn replay(&mut self) {
        if !self.replay_slots.is_worth_reading() {
            return;
        }
        while self.connected && self.replay_enabled {
            let Some(handle) = self.heads.first_parked() else { return };
            let bytes = self.at(handle).map_or(0, |event| event.bytes as usize);
            if !self.replay_slots.has_room(bytes) {
                return;
            }
            self.heads.pop_parked();
            let Some(event) = self.events.get_mut(handle.slot as usize) else { continue };
            event.stage = Stage::Loading;
            self.replay_slots.take(event);
            self.commands.push(Command::Load(handle));
        }
    }

    /// Handles the result of [`Command::Load`].
    pub fn loaded(&mut self, handle: EventHandle, loaded: Loaded<P>, now: Millis) {
        self.clock = self.clock.max(now);
        let connected = self.connected;
        let Some(event) = self.events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq) else {
            return;
        };
        if event.stage != Stage::Loading {
            return;
        }
        let withheld = self.heads.is_withheld(event.lane);
        match loaded {
            Loaded::Found(mut publication) if connected && !withheld => {
                for level in 0..event.fallback_level {
                    let Some(smaller) = publication.fallback() else {
                        // The smallest publication was rejected too.
                        event.fallback_level = level;
                        let code = event.failure.unwrap_or(FailureCode::Other);
                        self.fail(handle.slot, code, now);
                        return self.replay();
                    };
                    publication = smaller;
                }
                self.replace(handle.slot, publication);
                self.replay_slots.handed_over(handle, now);
                self.produce(handle.slot);
            }
            Loaded::Found(_) => {
                self.stop_replaying(handle.slot);
                self.activate(handle.slot);
            }
            Loaded::Unavailable => self.fail(handle.slot, FailureCode::JournalUnreadable, now),
            Loaded::Damaged => {
                self.note_failure(handle.slot, FailureCode::JournalUnreadable, now);
                self.stop_replaying(handle.slot);
                self.back_off(handle.slot, now + UNREADABLE_BACK_OFF);
            }
        }
        self.replay();
    }

    pub(super) fn stop_replaying(&mut self, slot: u32) {
        if let Some(event) = self.events.get_mut(slot as usize) {
            self.replay_slots.give_back(event);
        }
    }
}
