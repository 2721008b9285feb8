//! The groups of a walk: those in the scope, and the one whose members are being read.

use std::collections::{HashSet, VecDeque};

use super::super::calls::Call;
use super::super::entities::Object;

/// The next step after a group's members are complete.
pub(super) enum Step {
    /// Request this user, who was not found in any unit.
    Ask(String),
    /// The group is complete.
    Complete(Object),
    /// No group is being read.
    None,
}

/// The groups of a walk.
#[derive(Default)]
pub(super) struct Groups {
    scope: HashSet<String>,
    /// Groups in the scope that the list did not contain.
    unlisted: VecDeque<String>,
    /// Groups in the scope that the list contained.
    waiting: VecDeque<Object>,
    current: Option<Current>,
}

/// Result of reading all pages of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MembersRead {
    /// All members are known.
    Complete,
    /// There are fewer than the total, so the list has to be read again.
    Incomplete,
    /// There were fewer than the total both times. The group is published without its members, because a member that
    /// is not in the list would be removed.
    Unstable,
}

struct Current {
    group: Object,
    members: Vec<String>,
    /// The number of members according to the last page.
    total: Option<u64>,
    /// The result of the last reading.
    read: Option<MembersRead>,
    /// Members that were not found in any unit.
    unknown: VecDeque<String>,
}

impl Groups {
    pub(super) fn set_scope(&mut self, ids: Vec<String>) {
        self.scope = ids.into_iter().collect();
    }

    /// Returns true if the scope contains no group.
    pub(super) fn is_empty(&self) -> bool {
        self.scope.is_empty()
    }

    /// Adds a page of the list of groups. Returns the next call.
    pub(super) fn add_listed(&mut self, rows: Vec<Object>, token: Option<String>) -> Option<Call> {
        self.waiting.extend(rows.into_iter().filter(|group| self.scope.contains(&group.id)));
        if token.is_some() {
            return Some(Call::Groups { token });
        }
        let listed: HashSet<_> = self.waiting.iter().map(|group| group.id.as_str()).collect();
        let mut unlisted: Vec<_> = self.scope.iter().filter(|id| !listed.contains(id.as_str())).cloned().collect();
        unlisted.sort_unstable();
        self.unlisted = unlisted.into();
        self.next_group()
    }

    /// Starts with the members of a group. Returns the call for them.
    pub(super) fn add(&mut self, group: Object) -> Call {
        let call = Call::Members { group: group.id.clone(), token: None };
        self.current = Some(Current { group, members: Vec::new(), total: None, read: None, unknown: VecDeque::new() });
        call
    }

    /// Adds a page of the group's members. `total` is the number of all of them, if the page contains it.
    pub(super) fn add_members(&mut self, members: impl Iterator<Item = String>, total: Option<u64>) {
        if let Some(current) = &mut self.current {
            current.members.extend(members);
            current.total = total;
        }
    }

    /// Ends a reading of the group's members. Queues those that were not found before, and counts them as found.
    pub(super) fn members_read(&mut self, found: &mut HashSet<String>) -> MembersRead {
        let Some(current) = &mut self.current else { return MembersRead::Complete };
        let mut once = HashSet::new();
        current.members.retain(|member| once.insert(member.clone()));
        let is_complete = current.total.is_none_or(|total| current.members.len() as u64 >= total);
        let read = match (is_complete, current.read) {
            (true, _) => MembersRead::Complete,
            (false, None) => MembersRead::Incomplete,
            (false, Some(_)) => MembersRead::Unstable,
        };
        current.read = Some(read);
        if read == MembersRead::Incomplete {
            current.members.clear();
        } else {
            current.unknown =
                current.members.iter().filter(|member| found.insert((*member).clone())).cloned().collect();
        }
        read
    }

    pub(super) fn next_unknown_member(&mut self) -> Step {
        let Some(current) = &mut self.current else { return Step::None };
        if let Some(user) = current.unknown.pop_front() {
            return Step::Ask(user);
        }
        match self.current.take() {
            Some(Current { group, read: Some(MembersRead::Unstable), .. }) => Step::Complete(group),
            Some(Current { group, members, .. }) => Step::Complete(group.with_members(&members)),
            None => Step::None,
        }
    }

    /// Returns the call that starts the next group.
    pub(super) fn next_group(&mut self) -> Option<Call> {
        match self.waiting.pop_front() {
            Some(group) => Some(self.add(group)),
            None => self.unlisted.pop_front().map(Call::Group),
        }
    }

    /// Drops the group that is being read. Returns the call that starts the next one.
    pub(super) fn drop_current(&mut self) -> Option<Call> {
        self.current = None;
        self.next_group()
    }
}
