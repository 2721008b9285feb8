//! Log lines about waiting events: one when events begin to wait for a reason, one when no event waits for it any
//! more, and one when the journal is empty again.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{FailureCode, Millis, WaitReason};

use crate::telemetry::log_code::LogCode;

/// Interval at which waiting events are checked, in milliseconds.
const INTERVAL: Millis = 1_000;

/// How long events must wait for a reason before it is logged, in milliseconds. A single retry is not logged.
const GRACE: Millis = 2_000;

/// Tracks which reasons were logged.
#[derive(Default)]
pub(super) struct WaitingLog {
    next: Millis,
    /// When events began to wait for each reason.
    since: BTreeMap<FailureCode, Millis>,
    logged: BTreeSet<FailureCode>,
    /// When the journal began to hold events, and how many had been replayed by then.
    journaling: Option<(Millis, u64)>,
}

impl WaitingLog {
    /// Returns true if the next check is due.
    pub(super) const fn is_due(&self, now: Millis) -> bool {
        now >= self.next
    }

    /// Logs the changes since the last check. Takes the number of waiting lane heads by reason, the number of events
    /// in the journal, and the number of events replayed so far.
    pub(super) fn observe(&mut self, heads: &BTreeMap<WaitReason, usize>, journaled: u64, replayed: u64, now: Millis) {
        self.next = now + INTERVAL;
        for failure in FailureCode::ALL {
            match heads.get(&WaitReason::Failed(failure)) {
                Some(events) => self.continues(failure, *events, now),
                None => self.is_over(failure, now),
            }
        }
        self.observe_journal(journaled, replayed, now);
    }

    fn continues(&mut self, failure: FailureCode, events: usize, now: Millis) {
        let since = *self.since.entry(failure).or_insert(now);
        if now - since >= GRACE && self.logged.insert(failure) {
            tracing::warn!(
                code = LogCode::EventsWaiting.as_str(),
                reason = failure.code(),
                events,
                "events wait in the journal because their records are not published; `idaas-bridge journal` shows them"
            );
        }
    }

    fn is_over(&mut self, failure: FailureCode, now: Millis) {
        let Some(since) = self.since.remove(&failure) else { return };
        if self.logged.remove(&failure) {
            let seconds = (now - since) / 1000;
            tracing::info!(
                code = LogCode::EventsResumed.as_str(),
                reason = failure.code(),
                seconds,
                "events no longer wait for this reason"
            );
        }
    }

    fn observe_journal(&mut self, journaled: u64, replayed: u64, now: Millis) {
        match self.journaling {
            None if journaled > 0 => self.journaling = Some((now, replayed)),
            Some((since, before)) if journaled == 0 => {
                self.journaling = None;
                let events = replayed - before;
                if events > 0 {
                    let seconds = (now - since) / 1000;
                    tracing::info!(
                        code = LogCode::JournalEmpty.as_str(),
                        events,
                        seconds,
                        "the journal is empty again: its events are published"
                    );
                }
            }
            None | Some(_) => {}
        }
    }
}
