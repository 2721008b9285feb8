//! Decides which lanes a replica withholds, and when it has published its own.

use std::collections::HashSet;

use super::Position;
use super::coordinator::{Command, Coordinator, Facts, RESEND, Stage};
use super::record::Body;
use crate::{LaneKey, Millis};

/// Interval between two checks whether its own lanes are published.
const CHECK_INTERVAL: Millis = 100;

/// Lanes that can be released once the event topics are read.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) ticket: u64,
    /// The lanes that are still withheld after that.
    wanted: HashSet<LaneKey>,
}

impl Coordinator {
    /// Withholds lanes that others own or claim. Lanes are released only after their published events are known.
    pub(super) fn update_holds(&mut self, facts: &impl Facts) {
        if let Some(release) = self.release.take_if(|release| facts.caught_up() >= release.ticket) {
            self.held.retain(|lane| release.wanted.contains(lane));
            self.version = 0;
            self.hold_all();
        }
        if self.version == self.table.version() {
            return;
        }
        let wanted = self.table.held_by(self.me.replica);
        if !wanted.is_subset(&self.held) {
            self.held.extend(&wanted);
            self.commands.push(Command::Hold(self.held.clone()));
        }
        self.version = self.table.version();
        self.owned = self.table.owned(self.me.replica, Position::MAX);
        if self.release.is_none() && self.held.len() > wanted.len() {
            let ticket = self.catch_up();
            self.release = Some(Release { ticket, wanted });
        }
    }

    /// Withholds all lanes that others own or claim, in addition to those that are withheld.
    pub(super) fn hold_all(&mut self) {
        let wanted = self.table.held_by(self.me.replica);
        self.held.extend(wanted);
        self.commands.push(Command::Hold(self.held.clone()));
    }

    pub(super) fn report_done(&mut self, now: Millis, facts: &impl Facts) {
        let waiting = self.done.is_some_and(|sent| now < sent + RESEND) || now < self.looked + CHECK_INTERVAL;
        if self.stage != Stage::Live || self.owned.is_empty() || waiting {
            return;
        }
        self.looked = now;
        if self.owned.is_disjoint(&self.held) && !facts.has_backlog(&self.owned) {
            self.done = Some(now);
            self.write(Body::Done { up_to: self.table.position() });
        }
    }
}
