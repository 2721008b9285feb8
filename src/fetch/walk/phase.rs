//! The phases of a walk.

use super::Walk;
use crate::fetch::calls::Call;

/// Maximum number of times that the tree of units is read again.
const MAX_RECHECKS: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Scope,
    Roots,
    Units,
    Users,
    Recheck(u32),
    Groups,
    Done,
}

impl Walk {
    /// Fills the queue with the calls of the next phase.
    pub(super) fn advance(&mut self) {
        self.phase = match self.phase {
            Phase::Scope if self.roots.len() > 1 => {
                self.queue.extend(self.roots.iter().cloned().map(Call::ParentIds));
                Phase::Roots
            }
            Phase::Scope => {
                self.queue.extend(self.roots.iter().cloned().map(Call::Unit));
                Phase::Units
            }
            Phase::Roots => {
                // Roots below another root are found as its descendants.
                self.queue.extend(self.roots.iter().cloned().map(Call::Unit));
                Phase::Units
            }
            Phase::Units => {
                self.queue_users();
                Phase::Users
            }
            Phase::Users => self.recheck(1),
            Phase::Recheck(round) if self.users_read < self.units.len() => {
                self.queue_users();
                if round < MAX_RECHECKS { self.after_users(round) } else { Phase::Recheck(round) }
            }
            Phase::Recheck(_) => {
                self.queue.extend((!self.groups.is_empty()).then_some(Call::Groups { token: None }));
                Phase::Groups
            }
            Phase::Groups | Phase::Done => Phase::Done,
        };
    }

    fn queue_users(&mut self) {
        let units = self.units.iter().skip(self.users_read).cloned();
        self.queue.extend(units.map(|unit| Call::Users { unit, page: 1 }));
        self.users_read = self.units.len();
    }

    fn recheck(&mut self, round: u32) -> Phase {
        self.queue.extend(self.units.iter().cloned().map(|parent| Call::Units { parent, page: 1 }));
        Phase::Recheck(round)
    }

    /// Queues another pass over the tree, after the users of newly found units.
    fn after_users(&mut self, round: u32) -> Phase {
        self.recheck(round + 1)
    }
}
