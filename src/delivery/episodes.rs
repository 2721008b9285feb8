//! Log lines about what waits: one when a reason begins to hold events up, one when it no longer does, and one when the
//! journal is empty again.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{FailureCode, Millis, WaitReason};

use crate::telemetry::log_code::LogCode;

/// How often what waits is looked through, in milliseconds.
const INTERVAL: Millis = 1_000;

/// How long a reason must hold events up before it is worth a line, in milliseconds: a single retry is not.
const GRACE: Millis = 2_000;

/// What was logged so far.
#[derive(Default)]
pub(super) struct Episodes {
    next: Millis,
    /// Since when each reason holds events up.
    since: BTreeMap<FailureCode, Millis>,
    logged: BTreeSet<FailureCode>,
    /// When the journal began to hold events, and how many had been replayed by then.
    journaling: Option<(Millis, u64)>,
}

impl Episodes {
    /// Whether it is time to look through what waits.
    pub(super) const fn is_due(&self, now: Millis) -> bool {
        now >= self.next
    }

    /// Takes how many lane heads wait by reason, how many events the journal holds, and how many were replayed so far.
    pub(super) fn observe(&mut self, heads: &BTreeMap<WaitReason, usize>, journaled: u64, replayed: u64, now: Millis) {
        self.next = now + INTERVAL;
        for failure in FailureCode::ALL {
            match heads.get(&WaitReason::Failed(failure)) {
                Some(events) => self.goes_on(failure, *events, now),
                None => self.is_over(failure, now),
            }
        }
        self.observe_journal(journaled, replayed, now);
    }

    fn goes_on(&mut self, failure: FailureCode, events: usize, now: Millis) {
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
                code = LogCode::EventsGoOn.as_str(),
                reason = failure.code(),
                seconds,
                "no event waits for this reason any more"
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
