//! Replay: reads events whose publications only the journal has, oldest first, and hands them to the producer.

use super::event::{EventHandle, Loaded, Publication, ReplaySlot, Stage};
use super::machine::{Command, Outbox};
use super::{FailureCode, Millis};

/// How long an entry that cannot be read waits for the next attempt, in milliseconds.
const UNREADABLE_BACK_OFF: Millis = 60_000;

/// How long a replayed event may take before others no longer wait for it, in milliseconds.
const SLOW: Millis = 2_000;

/// How many such there may be, counted in what may be replayed at a time. The producer holds their records.
const SLOW_AT_A_TIME: usize = 8;

impl<P: Publication, W> Outbox<P, W> {
    /// Lets replays begin: what stands in the topics is known, or cannot be known.
    pub fn enable_replay(&mut self) {
        self.replay_enabled = true;
        self.replay();
    }

    /// Another cluster answers at the same address: what the old one has confirmed is not there. Nothing is replayed
    /// before [`Outbox::enable_replay`], because the topics have to be read first.
    pub fn cluster_replaced(&mut self) {
        self.dedup_cache.clear();
        self.replay_enabled = false;
        for (_, event) in &mut self.events {
            (event.confirmed, event.published_verdict) = (0, None);
        }
    }

    /// Reads parked heads back, oldest first, as many as there is room for.
    pub(super) fn replay(&mut self) {
        // Many at a time: a journal reads a hundred entries as fast as a few.
        if self.replaying > self.limits.replay - self.limits.replay / 4 {
            return;
        }
        while self.connected && self.replay_enabled && self.replaying < self.limits.replay {
            let Some((turn, handle)) = self.parked.first().copied() else { return };
            let bytes = self.events.get(handle.slot as usize).map_or(0, |event| event.bytes as usize);
            if self.replaying > 0 && self.replaying_bytes + bytes > self.limits.replay_bytes {
                return;
            }
            self.parked.remove(&(turn, handle));
            let Some(event) = self.events.get_mut(handle.slot as usize) else { continue };
            event.stage = Stage::Loading;
            event.replay = ReplaySlot::Held;
            self.replaying += 1;
            self.replaying_bytes += bytes;
            self.commands.push(Command::Load(handle));
        }
    }

    /// Takes what was read back.
    pub fn loaded(&mut self, handle: EventHandle, loaded: Loaded<P>, now: Millis) {
        self.clock = self.clock.max(now);
        let connected = self.connected;
        let Some(event) = self.events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq) else {
            return;
        };
        if event.stage != Stage::Loading {
            return;
        }
        let held = self.held_lanes.contains(&event.lane);
        match loaded {
            Loaded::Found(mut publication) if connected && !held => {
                for refused in 0..event.fallback_level {
                    let Some(smaller) = publication.fallback() else {
                        // The smallest was refused as well.
                        event.fallback_level = refused;
                        let code = event.failure.unwrap_or(FailureCode::Other);
                        self.fail(handle.slot, code, now);
                        return self.replay();
                    };
                    publication = smaller;
                    event.fell_back = true;
                }
                self.replace(handle.slot, publication);
                self.replayed.push_back((now, handle));
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
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        match std::mem::replace(&mut event.replay, ReplaySlot::None) {
            ReplaySlot::None => {}
            ReplaySlot::Held => {
                self.replaying -= 1;
                self.replaying_bytes -= event.bytes as usize;
            }
            ReplaySlot::Released => self.slow_replays -= 1,
        }
    }

    /// No longer counts replays that the broker has not confirmed for long: thousands of records for one partition
    /// without a leader must not keep those of the others waiting.
    pub(super) fn release_slow_replays(&mut self, now: Millis) {
        while let Some((since, handle)) = self.replayed.front().copied() {
            let event = self.events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq);
            // One that was refused since, and is being read anew, is not the broker's fault.
            if let Some(event) = event.filter(|event| event.replay == ReplaySlot::Held && event.in_flight()) {
                if since + SLOW > now || self.slow_replays >= self.limits.replay * SLOW_AT_A_TIME {
                    return;
                }
                event.replay = ReplaySlot::Released;
                self.replaying -= 1;
                self.replaying_bytes -= event.bytes as usize;
                self.slow_replays += 1;
            }
            self.replayed.pop_front();
        }
    }
}
