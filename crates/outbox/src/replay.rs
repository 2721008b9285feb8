//! Replay: reads publications that only the journal has, oldest first, and hands them to the producer.

use super::event::{EventHandle, Loaded, Publication, Stage};
use super::machine::{Command, Outbox};
use super::{EventKey, FailureCode, Millis, RedriveOutcome, WaitReason};

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
        while self.may_publish && self.replay_enabled {
            let Some(handle) = self.heads.first_parked() else { return };
            let bytes = self.at(handle).map_or(0, |event| event.bytes as usize);
            if !self.replay_slots.has_room(bytes) {
                return;
            }
            self.heads.pop_parked();
            self.load(handle);
        }
    }

    fn load(&mut self, handle: EventHandle) {
        let Some(event) = self.events.get_mut(handle.slot as usize) else { return };
        event.stage = Stage::Loading;
        self.replay_slots.take(event);
        self.commands.push(Command::Load(handle));
    }

    /// Publishes an event now, on an operator's order: without waiting for the end of its back-off, and before other
    /// heads that wait for replay. What forbids publishing it is not overridden.
    pub fn redrive(&mut self, key: EventKey) -> RedriveOutcome {
        let Some(slot) = self.slot(key) else { return RedriveOutcome::Unknown };
        let Some(event) = self.events.get(slot as usize) else { return RedriveOutcome::Unknown };
        match event.stage {
            Stage::Queued | Stage::Loading | Stage::InFlight { .. } => return RedriveOutcome::NotWaiting,
            Stage::Ready | Stage::BackingOff(_) => {}
        }
        let (handle, is_withheld) = (event.handle(slot), self.heads.is_withheld(event.lane));
        let in_journal_only = event.publication.is_none();
        // A waiting event holds no slot, so there is as much room before it leaves its set as after.
        let can_load = self.may_publish && self.replay_enabled && self.replay_slots.has_room(event.bytes as usize);
        self.deactivate(slot);
        if in_journal_only && can_load && !is_withheld {
            self.load(handle);
        } else {
            self.attempt(slot);
        }
        match self.at(handle) {
            Some(event) if event.stage == Stage::Ready => {
                let reason = if is_withheld { WaitReason::OtherReplica } else { self.reason_without_failure() };
                RedriveOutcome::Blocked(event.waiting(reason))
            }
            Some(_) | None => RedriveOutcome::Started,
        }
    }

    /// Handles the result of [`Command::Load`].
    pub fn loaded(&mut self, handle: EventHandle, loaded: Loaded<P>, now: Millis) {
        self.clock = self.clock.max(now);
        let may_publish = self.may_publish;
        let Some(event) = self.events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq) else {
            return;
        };
        if event.stage != Stage::Loading {
            return;
        }
        let withheld = self.heads.is_withheld(event.lane);
        match loaded {
            Loaded::Found(mut publication) if may_publish && !withheld => {
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
                self.publish_head(handle.slot);
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
