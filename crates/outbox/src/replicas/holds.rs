//! Decides which lanes a replica withholds, and when it has published its own.

use std::collections::HashSet;

use super::Offset;
use super::coordinator::{Command, Coordinator, Facts, RESEND_INTERVAL};
use super::record::{self, Body};
use crate::{LaneKey, Millis};

/// Interval between two checks whether its own lanes are published.
const CHECK_INTERVAL: Millis = 100;

/// Interval between two checks whether lanes have filled that it withholds.
const EXTEND_INTERVAL: Millis = 500;

/// How long lanes are withheld until their claims are read back, when they could be released.
const MAX_CLAIM_WAIT: Millis = 4000;

/// Lanes that can be released once the event topics are read.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) ticket: u64,
    /// The lanes that are still withheld after that.
    wanted: HashSet<LaneKey>,
}

impl Coordinator {
    /// Claims lanes that have filled while they are withheld. When their owner is done, only one of the replicas that
    /// have events of a lane continues with it, and the others learn what it has published.
    pub(super) fn extend_claims(&mut self, now: Millis, facts: &impl Facts) {
        if !self.held.is_empty() && now >= self.extended_at + EXTEND_INTERVAL {
            self.claim_filled(now, facts);
        }
    }

    /// Claims withheld lanes that have filled. Returns those whose claim is not read back yet.
    fn claim_filled(&mut self, now: Millis, facts: &impl Facts) -> HashSet<LaneKey> {
        if !self.is_open || self.others().next().is_none() {
            // A replica that does not publish yet claims all its lanes before it begins.
            return HashSet::new();
        }
        self.extended_at = now;
        let mut filled = facts.withheld();
        filled.retain(|lane, _| self.held.contains(lane) && !self.table.waits_for(self.me.replica, *lane));
        let lanes = filled.keys().copied().collect();
        record::extend(filled).into_iter().for_each(|body| self.write(body));
        lanes
    }

    /// Withholds lanes that others own or claim. Lanes are released only after their published events are known, and
    /// their events are claimed.
    pub(super) fn update_holds(&mut self, now: Millis, facts: &impl Facts) {
        if let Some(release) = self.release.take_if(|release| facts.caught_up() >= release.ticket) {
            let mut unclaimed = self.claim_filled(now, facts);
            unclaimed.retain(|lane| !release.wanted.contains(lane));
            if unclaimed.is_empty() {
                self.claims_awaited_since = None;
            } else if now >= *self.claims_awaited_since.get_or_insert(now) + MAX_CLAIM_WAIT {
                (self.claims_awaited_since, unclaimed) = (None, HashSet::new());
            }
            self.held.retain(|lane| release.wanted.contains(lane) || unclaimed.contains(lane));
            self.version = 0;
            self.hold_all();
        }
        if self.version == self.table.version() {
            return;
        }
        let wanted = self.table.withheld_from(self.me.replica);
        if !wanted.is_subset(&self.held) {
            self.held.extend(&wanted);
            self.commands.push(Command::Hold(self.held.clone()));
        }
        self.version = self.table.version();
        self.owned = self.table.owned(self.me.replica, Offset::MAX);
        if self.release.is_none() && self.held.len() > wanted.len() {
            let ticket = self.catch_up();
            self.release = Some(Release { ticket, wanted });
        }
    }

    /// Withholds all lanes that others own or claim, in addition to those that are withheld.
    pub(super) fn hold_all(&mut self) {
        let wanted = self.table.withheld_from(self.me.replica);
        self.held.extend(wanted);
        self.has_released = true;
        self.commands.push(Command::Hold(self.held.clone()));
    }

    pub(super) fn report_done(&mut self, now: Millis, facts: &impl Facts) {
        let waiting = self.done_sent_at.is_some_and(|sent| now < sent + RESEND_INTERVAL)
            || now < self.checked_at + CHECK_INTERVAL;
        if !self.is_open || self.owned.is_empty() || waiting || self.has_released {
            return;
        }
        self.checked_at = now;
        if self.owned.is_disjoint(&self.held) && !facts.has_backlog(&self.owned) {
            self.done_sent_at = Some(now);
            self.write(Body::Done { up_to: self.table.offset() });
        }
    }
}
