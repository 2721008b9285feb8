//! The machine under test, optionally with a planted defect.

use super::defects::Defect;
use super::payload::Payload;
use crate::dedup_cache::DedupCache;
use crate::event::{Event, Loaded, NewEvent, Publication, Recovered, Stage};
use crate::machine::{Admitted, Command, Deadlines, Limits, Outbox};
use crate::{
    DeliveryReport, DiscardOutcome, EventHandle, EventKey, LaneKey, Millis, Published, RedriveOutcome, RequestId, Seq,
};

/// The machine. The waiter of a request is the request's number.
pub(super) struct Machine {
    pub(super) outbox: Outbox<Payload, usize>,
    pub(super) defect: Option<Defect>,
}

impl Machine {
    pub(super) fn new(limits: Limits, defect: Option<Defect>) -> Self {
        Self { outbox: Outbox::new(limits), defect }
    }

    /// Returns true if all of these events fit into memory.
    pub(super) fn has_room(&self, new_events: &[NewEvent<Payload>]) -> bool {
        let bytes: usize = new_events.iter().map(|new_event| new_event.publication.bytes()).sum();
        self.outbox.memory.has_room_for(new_events.len(), bytes)
    }

    pub(super) fn admit(
        &mut self,
        new_events: Vec<NewEvent<Payload>>,
        request: usize,
        deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        match self.defect {
            Some(defect) => self.admit_with(defect, new_events, request, deadlines),
            None => self.outbox.admit(new_events, request, deadlines),
        }
    }

    pub(super) fn report(&mut self, handle: EventHandle, record: u8, report: DeliveryReport, now: Millis) {
        match self.defect {
            Some(defect) => self.report_with(defect, handle, record, report, now),
            None => self.outbox.report(handle, record, report, now),
        }
    }

    pub(super) fn recover(&mut self, entries: Vec<Recovered>, next: Seq) {
        match self.defect {
            Some(defect) => self.recover_with(defect, entries, next),
            None => self.outbox.recover(entries, next),
        }
    }

    pub(super) fn mark_published(&mut self, key: EventKey, learned: Published, now: Millis) {
        match self.defect {
            Some(defect) => self.learn_with(defect, key, learned, now),
            None => self.outbox.mark_published(key, learned, now),
        }
    }

    pub(super) fn loaded(&mut self, handle: EventHandle, payload: Loaded<Payload>, now: Millis) {
        match self.defect {
            Some(defect) => self.loaded_with(defect, handle, payload, now),
            None => self.outbox.loaded(handle, payload, now),
        }
    }

    pub(super) fn hold_lanes(&mut self, lanes: Vec<LaneKey>) {
        match self.defect {
            Some(Defect::HeldLanesReplayed) => {}
            _ => self.outbox.hold_lanes(lanes),
        }
    }

    pub(super) fn cluster_replaced(&mut self) {
        match self.defect {
            Some(Defect::OldClusterRemembered) => self.outbox.replay_enabled = false,
            _ => self.outbox.cluster_replaced(),
        }
    }

    pub(super) fn release_closed_lanes(&mut self) {
        if self.defect != Some(Defect::RecoveryUnheard) {
            self.outbox.release_closed_lanes();
        }
    }

    /// Returns the events of a lane in order, each with whether an older one may pass it.
    pub(super) fn lane(&self, lane: LaneKey) -> Vec<(EventKey, Seq, bool)> {
        let mut events = Vec::new();
        let mut next = self.outbox.lanes.head(lane);
        while let Some(event) = next.and_then(|slot| self.outbox.events.get(slot as usize)) {
            let is_closed = self.outbox.heads.is_closed(lane) && matches!(event.stage, Stage::BackingOff(_));
            let is_waiting = is_closed || matches!(event.stage, Stage::Queued | Stage::Ready);
            let passable = is_waiting && event.attempts == 0;
            events.push((event.key, event.seq, passable));
            next = event.next;
        }
        events
    }

    /// Returns true if the event exists.
    pub(super) fn has(&self, key: EventKey) -> bool {
        self.outbox.slot(key).is_some()
    }

    /// Returns true if the event exists with this sequence number.
    pub(super) fn has_entry(&self, key: EventKey, seq: Seq) -> bool {
        let slot = self.outbox.slot(key);
        slot.and_then(|slot| self.outbox.events.get(slot as usize)).is_some_and(|event| event.seq == seq)
    }

    /// Returns how many bytes the event counts while it is replayed.
    pub(super) fn bytes(&self, handle: EventHandle) -> usize {
        self.outbox.at(handle).map_or(0, |event: &Event<Payload>| event.bytes as usize)
    }

    pub(super) fn fallback_level(&mut self, seqs: Vec<Seq>) {
        match self.defect {
            Some(Defect::RefusedWriteCounts) => self.outbox.written(seqs),
            _ => self.outbox.rejected(seqs),
        }
    }

    pub(super) fn set_may_publish(&mut self, is: bool) {
        match self.defect {
            Some(Defect::ReturnUnheard) => self.outbox.may_publish = is,
            _ => self.outbox.set_may_publish(is),
        }
    }

    pub(super) fn tick(&mut self, now: Millis) {
        self.outbox.tick(now);
        if self.defect == Some(Defect::UnwrittenAtTheDeadline) {
            self.outbox.commands.retain(|command| !matches!(command, Command::Write(..)));
        }
    }

    pub(super) fn commands(&mut self) -> Vec<Command<Payload, usize>> {
        let commands = self.outbox.commands();
        match self.defect {
            Some(defect) => self.commands_with(defect, commands),
            None => commands,
        }
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        match self.defect {
            Some(Defect::RequestKept) => drop(self.outbox.requests.remove(request)),
            _ => self.outbox.cancel(request),
        }
    }

    pub(super) fn enable_replay(&mut self) {
        self.outbox.enable_replay();
    }

    pub(super) fn discard(&mut self, key: EventKey) -> bool {
        self.outbox.discard(key) == DiscardOutcome::Discarded
    }

    pub(super) fn redrive(&mut self, key: EventKey) -> RedriveOutcome {
        self.outbox.redrive(key)
    }

    pub(super) fn written(&mut self, seqs: Vec<Seq>) {
        self.outbox.written(seqs);
    }

    pub(super) fn expire_deadlines(&mut self, deadline: Millis) {
        self.outbox.expire_deadlines(deadline);
    }

    /// Returns how many events would be lost with the process, and how many of them are being written.
    pub(super) fn not_durable(&self) -> (usize, usize) {
        self.outbox.not_durable()
    }

    pub(super) fn forget_verdicts(&mut self) {
        self.outbox.dedup_cache = DedupCache::new();
    }

    pub(super) fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    pub(super) fn pending(&self) -> usize {
        self.outbox.pending()
    }

    /// Returns true if the event no longer exists.
    pub(super) fn is_gone(&self, handle: EventHandle) -> bool {
        self.outbox.at(handle).is_none()
    }

    /// Returns when the machine needs the next tick.
    pub(super) fn due(&self) -> Option<Millis> {
        let due_time = self.outbox.requests.next_due();
        let retry = self.outbox.heads.next_retry();
        due_time.into_iter().chain(retry).min()
    }

    /// Checks the internal consistency. A machine with a defect must be detected by its behavior instead, except if
    /// only its memory is affected.
    pub(super) fn audit(&self) -> Result<(), String> {
        match self.defect {
            None => self.outbox.audit(),
            Some(Defect::RequestKept) => self.outbox.audit_detachment(),
            Some(_) => Ok(()),
        }
    }
}
