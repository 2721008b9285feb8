//! Machines with one planted defect each. A simulation that misses one of them proves nothing.

use std::sync::Arc;

use super::machine::Machine;
use super::payload::Payload;
use crate::dedup_cache::DedupCache;
use crate::event::{Durability, Event, Loaded, NewEvent, Publication, Recovered, Stage};
use crate::machine::{Admitted, Command, Deadlines};
use crate::verdict::Verdict;
use crate::{DeliveryReport, EventHandle, EventKey, Millis, Published, RequestId, Seq};

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// An event is confirmed as soon as the producer has it.
    AcknowledgedUnreported,
    /// An event of two records is confirmed with the first of them.
    FirstReportCounts,
    /// A rejected event gets the verdict of its dead letter, and the dead letter is never produced.
    SmallerFormSkipped,
    /// An event that is being written is answered as durable before it is synced.
    KeptUnwritten,
    /// The journal reports entries as written before they are synced.
    WrittenUnsynced,
    /// A failed write counts as a successful one.
    RefusedWriteCounts,
    /// Unconfirmed events are not written at the deadline.
    UnwrittenAtTheDeadline,
    /// An entry is deleted when its replay begins.
    ForgottenUnconfirmed,
    /// An entry is deleted while it is being written.
    ForgottenWhileWriting,
    /// An entry that cannot be read is deleted.
    UnreadableGivenUp,
    /// The next event of a lane does not wait for the one before.
    TwoInFlight,
    /// A lane moves on when its head has failed.
    FailurePassed,
    /// An event that another replica has published leaves its lane while it is with the producer.
    LearntInFlight,
    /// An event is admitted although an earlier one of its request found no room.
    Unfenced,
    /// The order of the journal is not kept at the start.
    RecoveredInReverse,
    /// Replay begins before the content of the topics is known.
    ReplayedUnreleased,
    /// Sequence numbers begin again at the start.
    NumbersGivenTwice,
    /// A request that joins an event in progress does not get its verdict.
    JoinLost,
    /// An answer is sent after its deadline.
    DeadlinePassed,
    /// A report on an event that is gone counts for the event that has its slot.
    StaleTokenTaken,
    /// A failed head is never retried.
    BackOffForgotten,
    /// Events that wait for the broker continue to wait when it is back.
    ReturnUnheard,
    /// Verdicts are not cached.
    VerdictForgotten,
    /// A confirmed record is sent again when the event's other record fails.
    ConfirmedRecordRepeated,
    /// Confirmations of a former cluster count for the current one.
    OldClusterRemembered,
    /// Lanes that another replica publishes first are replayed all the same.
    HeldLanesReplayed,
    /// Replay ignores the limit of bytes.
    ReplayUnbounded,
    /// An event that another replica has published is sent again when its own attempt fails.
    LearntForgotten,
    /// The time of events does not affect their order.
    TimeIgnored,
    /// Events that wait for a closed partition are retried repeatedly.
    ClosedPartitionTried,
    /// Events that wait for a closed partition continue to wait when it is open.
    RecoveryUnheard,
    /// The events of a request keep it in memory when its sender has disconnected.
    RequestKept,
}

impl Defect {
    /// Every defect.
    pub(super) const ALL: [Self; 32] = [
        Self::AcknowledgedUnreported,
        Self::FirstReportCounts,
        Self::SmallerFormSkipped,
        Self::KeptUnwritten,
        Self::WrittenUnsynced,
        Self::RefusedWriteCounts,
        Self::UnwrittenAtTheDeadline,
        Self::ForgottenUnconfirmed,
        Self::ForgottenWhileWriting,
        Self::UnreadableGivenUp,
        Self::TwoInFlight,
        Self::FailurePassed,
        Self::LearntInFlight,
        Self::Unfenced,
        Self::RecoveredInReverse,
        Self::ReplayedUnreleased,
        Self::NumbersGivenTwice,
        Self::JoinLost,
        Self::DeadlinePassed,
        Self::StaleTokenTaken,
        Self::BackOffForgotten,
        Self::ReturnUnheard,
        Self::VerdictForgotten,
        Self::ConfirmedRecordRepeated,
        Self::OldClusterRemembered,
        Self::HeldLanesReplayed,
        Self::ReplayUnbounded,
        Self::LearntForgotten,
        Self::TimeIgnored,
        Self::ClosedPartitionTried,
        Self::RecoveryUnheard,
        Self::RequestKept,
    ];
}

/// The waiter of a request that exists only inside of a defect.
const NO_WAITER: usize = usize::MAX;

impl Machine {
    pub(super) fn admit_with(
        &mut self,
        defect: Defect,
        mut new_events: Vec<NewEvent<Payload>>,
        request: usize,
        mut deadlines: Deadlines,
    ) -> (RequestId, Vec<Admitted>) {
        if defect == Defect::TimeIgnored {
            new_events.iter_mut().for_each(|new_event| new_event.event_time = 0);
        }
        if defect == Defect::DeadlinePassed {
            deadlines.answer += 1_000;
        }
        let payloads: Vec<Payload> = new_events.iter().map(|new_event| *new_event.publication).collect();
        let (id, mut admitted) = self.outbox.admit(new_events, request, deadlines);
        for (payload, what) in payloads.iter().zip(&mut admitted) {
            let slot = self.outbox.slot(payload.spec.key());
            match (defect, *what, slot) {
                (Defect::TwoInFlight, Admitted::New, Some(slot)) => self.push_forward(slot),
                (Defect::JoinLost, Admitted::Joined, Some(slot)) => drop(self.event(slot).waiters.pop()),
                (Defect::Unfenced, Admitted::Known(Verdict::Overloaded), _) => {
                    let spec = payload.spec;
                    let (key, lane, event_time) = (spec.key(), spec.lane_key(), spec.time);
                    let again = NewEvent { key, lane, event_time, obstacle: None, publication: Arc::new(spec.first()) };
                    *what = self.outbox.admit([again], NO_WAITER, deadlines).1[0];
                }
                _ => {}
            }
        }
        (id, admitted)
    }

    pub(super) fn report_with(
        &mut self,
        defect: Defect,
        handle: EventHandle,
        record: u8,
        report: DeliveryReport,
        now: Millis,
    ) {
        let handle = self.taken(defect, handle);
        let event = self.outbox.at(handle);
        let writing = event.is_some_and(|event| event.durability == Durability::Pending);
        let smaller = event.and_then(|event| event.publication.as_ref()?.fallback());
        match (defect, report, smaller) {
            (Defect::FirstReportCounts, DeliveryReport::Confirmed, _) => {
                if let Some(Stage::InFlight { verdict, .. }) = event.map(|event| event.stage) {
                    self.outbox.resolve(handle.slot, verdict, now);
                }
            }
            (Defect::SmallerFormSkipped, DeliveryReport::Rejected(_), Some(smaller)) => {
                self.outbox.resolve(handle.slot, smaller.verdict(), now);
            }
            (Defect::ClosedPartitionTried, DeliveryReport::NotSent(code), _) => {
                self.outbox.report(handle, record, DeliveryReport::Failed(code), now);
            }
            _ => self.outbox.report(handle, record, report, now),
        }
        let backing_off = self.outbox.at(handle).map(|event| (event.stage, event.next));
        match (defect, backing_off) {
            (Defect::ForgottenWhileWriting, None) if writing => {
                self.outbox.commands.push(Command::Delete(handle.seq));
            }
            (Defect::FailurePassed, Some((Stage::BackingOff(_), Some(next)))) => self.push_forward(next),
            (Defect::BackOffForgotten, Some((Stage::BackingOff(until), _))) => {
                self.outbox.heads.forget_back_off(handle, until);
            }
            _ => {}
        }
    }

    pub(super) fn recover_with(&mut self, defect: Defect, mut entries: Vec<Recovered>, mut next: Seq) {
        if defect == Defect::TimeIgnored {
            entries.iter_mut().for_each(|entry| entry.event_time = 0);
        }
        if defect == Defect::ReplayUnbounded {
            self.outbox.replay_slots.set_max_bytes(usize::MAX);
        }
        if defect == Defect::RecoveredInReverse {
            entries.reverse();
        }
        if defect == Defect::NumbersGivenTwice {
            next = Seq(0);
        }
        self.outbox.recover(entries, next);
        self.outbox.replay_enabled = defect == Defect::ReplayedUnreleased;
    }

    pub(super) fn learn_with(&mut self, defect: Defect, key: EventKey, learned: Published, now: Millis) {
        match (self.outbox.slot(key), learned) {
            (Some(slot), Published::Whole(verdict)) if defect == Defect::LearntInFlight => {
                self.outbox.resolve(slot, verdict, now);
            }
            (slot, _) => {
                self.outbox.mark_published(key, learned, now);
                if let Some(slot) = slot.filter(|_| defect == Defect::LearntForgotten)
                    && let Some(event) = self.outbox.events.get_mut(slot as usize)
                {
                    event.published_verdict = None;
                }
            }
        }
    }

    pub(super) fn loaded_with(&mut self, defect: Defect, handle: EventHandle, payload: Loaded<Payload>, now: Millis) {
        let handle = self.taken(defect, handle);
        let there = self.outbox.at(handle).is_some();
        match (defect, &payload) {
            (Defect::UnreadableGivenUp, Loaded::Damaged) if there => {
                self.outbox.resolve(handle.slot, Verdict::Overloaded, now);
            }
            (Defect::ForgottenUnconfirmed, Loaded::Found(_)) if there => {
                self.outbox.commands.push(Command::Delete(handle.seq))
            }
            _ => {}
        }
        self.outbox.loaded(handle, payload, now);
    }

    pub(super) fn commands_with(
        &mut self,
        defect: Defect,
        mut commands: Vec<Command<Payload, usize>>,
    ) -> Vec<Command<Payload, usize>> {
        commands.retain(|command| !matches!(command, Command::Answer(finished) if finished.waiter == NO_WAITER));
        if defect == Defect::VerdictForgotten {
            self.outbox.dedup_cache = DedupCache::new();
        }
        for command in &mut commands {
            match (defect, command) {
                (Defect::AcknowledgedUnreported, Command::Produce(handle, payload, _)) => {
                    self.answer_early(*handle, payload.verdict());
                }
                (Defect::ConfirmedRecordRepeated, Command::Produce(_, _, confirmed)) => *confirmed = 0,
                (Defect::KeptUnwritten, Command::Write(handle, _)) => self.answer_early(*handle, Verdict::NotConfirmed),
                (Defect::WrittenUnsynced, Command::Write(handle, _)) => self.outbox.written([handle.seq]),
                _ => {}
            }
        }
        commands
    }

    fn answer_early(&mut self, handle: EventHandle, verdict: Verdict) {
        for (request, position) in std::mem::take(&mut self.event(handle.slot).waiters) {
            self.outbox.resolve_waiters([(request, position)], verdict);
        }
    }

    /// Activates an event as if it were the head of its lane.
    fn push_forward(&mut self, slot: u32) {
        if self.event(slot).stage == Stage::Queued {
            self.outbox.activate(slot);
        }
    }

    fn taken(&self, defect: Defect, handle: EventHandle) -> EventHandle {
        let there = self.outbox.events.get(handle.slot as usize);
        there.filter(|_| defect == Defect::StaleTokenTaken).map_or(handle, |event| event.handle(handle.slot))
    }

    fn event(&mut self, slot: u32) -> &mut Event<Payload> {
        &mut self.outbox.events[slot as usize]
    }
}
