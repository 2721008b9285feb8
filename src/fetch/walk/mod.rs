//! Decides the order in which a directory is read. A state machine without I/O: it returns the next call and
//! processes its answer.
//!
//! Units come before their children, users after all units, groups after the users. Numbered pages lose or repeat
//! rows when the directory changes between two requests. So a list whose total has changed is read again, and the
//! tree of units is read a second time at the end, to find units that moved from an unread part to one that had been
//! read. An entity is found once, however often it is listed.

mod answer;
mod groups;
mod pass;
mod phase;

use std::collections::{HashSet, VecDeque};

pub(super) use self::answer::{Malformed, TokenPage};
use self::answer::{ParentIds, Scope, numbered_page, object, parse};
use self::groups::{Groups, MembersRead};
use self::pass::{Next, Pass};
use self::phase::Phase;
use super::answers::ApiResponse;
use super::calls::Call;
use super::entities::Object;
use idaas_callback::event_type::Entity;

/// A problem that did not end the walk.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Problem {
    /// The application's scope contains neither units nor groups.
    EmptyScope,
    /// A unit or group in the scope cannot be read.
    ScopeUnreadable(String),
    /// The list below a unit or of a group's members kept changing, or its number of rows differs from its total.
    Unstable(String),
}

/// Options of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WalkOptions {
    /// True if each user is requested with all fields.
    pub(super) details: bool,
}

/// The state of a walk.
pub(super) struct Walk {
    options: WalkOptions,
    is_published: Box<dyn Fn(&str) -> bool + Send>,
    phase: Phase,
    queue: VecDeque<Call>,
    pass: Pass,
    roots: Vec<String>,
    /// The units in the order in which they were found, and the number of them whose users were queued.
    units: Vec<String>,
    users_read: usize,
    groups: Groups,
    seen_units: HashSet<String>,
    seen_users: HashSet<String>,
    /// Users that were listed, but could not be read. They are not requested again if their list is read again.
    rejected_users: HashSet<String>,
    seen_groups: HashSet<String>,
    /// Entities that were listed but no longer existed, or had left the scope, when they were requested.
    vanished: u64,
    problems: Vec<Problem>,
}

impl Walk {
    /// Creates a walk. `is_published` returns true if the run has already published a user; its details are then not
    /// requested again.
    pub(super) fn new(options: WalkOptions, is_published: impl Fn(&str) -> bool + Send + 'static) -> Self {
        Self {
            options,
            is_published: Box::new(is_published),
            phase: Phase::Scope,
            queue: VecDeque::from([Call::Scope]),
            pass: Pass::default(),
            roots: Vec::new(),
            units: Vec::new(),
            users_read: 0,
            groups: Groups::default(),
            seen_units: HashSet::new(),
            seen_users: HashSet::new(),
            rejected_users: HashSet::new(),
            seen_groups: HashSet::new(),
            vanished: 0,
            problems: Vec::new(),
        }
    }

    /// Returns the next call. `None` if everything has been read.
    pub(super) fn next(&mut self) -> Option<Call> {
        loop {
            if let Some(call) = self.queue.pop_front() {
                return Some(call);
            }
            if self.phase == Phase::Done {
                return None;
            }
            self.advance();
        }
    }

    /// Returns the ids of the entities of this kind that were found.
    pub(super) const fn seen(&self, entity: Entity) -> Option<&HashSet<String>> {
        match entity {
            Entity::User => Some(&self.seen_users),
            Entity::OrganizationalUnit => Some(&self.seen_units),
            Entity::Group => Some(&self.seen_groups),
            Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
        }
    }

    /// Returns the problems so far.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the number of entities that no longer existed when they were requested.
    pub(super) const fn vanished(&self) -> u64 {
        self.vanished
    }

    /// Returns the number of units whose users were read, and the number of known units.
    pub(super) fn progress(&self) -> (usize, usize) {
        let open = self.queue.iter().filter(|call| matches!(call, Call::Users { page: 1, .. })).count();
        (self.users_read.saturating_sub(open), self.units.len())
    }

    /// Processes the answer to a call. Returns the entities found in it.
    pub(super) fn answered(&mut self, call: Call, answer: &ApiResponse) -> Result<Vec<Object>, Malformed> {
        match call {
            Call::Scope => {
                let Scope { organizational_unit_ids, group_ids } = parse(answer)?;
                self.roots = organizational_unit_ids.unwrap_or_default();
                self.groups.set_scope(group_ids.unwrap_or_default());
                if self.roots.is_empty() && self.groups.is_empty() {
                    self.problems.push(Problem::EmptyScope);
                }
                Ok(Vec::new())
            }
            Call::ParentIds(unit) => {
                let ParentIds { parent_ids } = parse(answer)?;
                if parent_ids.unwrap_or_default().iter().any(|parent| *parent != unit) {
                    self.roots.retain(|root| *root != unit);
                }
                Ok(Vec::new())
            }
            Call::Unit(_) => {
                let unit = object(Entity::OrganizationalUnit, answer)?;
                Ok(self.found_unit(unit).into_iter().collect())
            }
            Call::Units { parent, page } => {
                let rows = self.rows(Entity::OrganizationalUnit, answer, page)?;
                let found = rows.objects.into_iter().filter_map(|unit| self.found_unit(unit)).collect();
                self.queue_next_page(rows.next, parent, |parent, page| Call::Units { parent, page });
                Ok(found)
            }
            Call::Users { unit, page } => {
                let rows = self.rows(Entity::User, answer, page)?;
                self.queue_next_page(rows.next, unit, |unit, page| Call::Users { unit, page });
                Ok(self.found_users(rows.objects))
            }
            Call::User(_) => {
                let mut found = vec![object(Entity::User, answer)?];
                found.extend(self.go_on_with_group());
                Ok(found)
            }
            Call::Groups { token } => {
                let TokenPage { rows, next, .. } = TokenPage::parse(Entity::Group, token.as_deref(), answer)?;
                let next = self.groups.add_listed(rows, next);
                self.queue.extend(next);
                Ok(Vec::new())
            }
            Call::Group(_) => {
                let group = object(Entity::Group, answer)?;
                self.queue.push_front(self.groups.add(group));
                Ok(Vec::new())
            }
            Call::Members { group, token } => self.members(group, token.as_deref(), answer),
        }
    }

    /// Processes a rejection that concerns only the requested entity.
    pub(super) fn rejected(&mut self, call: Call) -> Vec<Object> {
        match call {
            Call::Unit(id) | Call::ParentIds(id) => {
                self.roots.retain(|root| *root != id);
                self.problems.push(Problem::ScopeUnreadable(id));
            }
            Call::Units { .. } | Call::Users { .. } => {
                self.pass = Pass::default();
                self.vanished += 1;
            }
            Call::User(id) => {
                self.vanished += 1;
                self.seen_users.remove(&id);
                self.rejected_users.insert(id);
                return self.go_on_with_group().into_iter().collect();
            }
            Call::Group(_) | Call::Members { .. } => {
                self.vanished += 1;
                self.queue.extend(self.groups.drop_current());
            }
            Call::Scope | Call::Groups { .. } => self.problems.push(Problem::EmptyScope),
        }
        Vec::new()
    }

    fn found_unit(&mut self, unit: Object) -> Option<Object> {
        if !self.seen_units.insert(unit.id.clone()) {
            return None;
        }
        self.units.push(unit.id.clone());
        self.queue.push_back(Call::Units { parent: unit.id.clone(), page: 1 });
        Some(unit)
    }

    /// Returns new users of a list. With details, queues a request for each of them instead, before the next page.
    fn found_users(&mut self, users: Vec<Object>) -> Vec<Object> {
        let is_new = |user: &Object| !self.rejected_users.contains(&user.id) && self.seen_users.insert(user.id.clone());
        let new: Vec<_> = users.into_iter().filter(is_new).collect();
        if !self.options.details {
            return new;
        }
        let (known, unknown): (Vec<_>, Vec<_>) = new.into_iter().partition(|user| (self.is_published)(&user.id));
        for user in unknown.into_iter().rev() {
            self.queue.push_front(Call::User(user.id));
        }
        known
    }
}

/// The rows of a numbered page, and the next step.
struct PageRows {
    objects: Vec<Object>,
    next: Next,
}

impl Walk {
    fn rows(&mut self, entity: Entity, answer: &ApiResponse, page: usize) -> Result<PageRows, Malformed> {
        let (objects, total) = numbered_page(entity, answer)?;
        let next = self.pass.page(page, objects.iter().map(|row| row.id.as_str()), total);
        Ok(PageRows { objects, next })
    }

    /// Queues the next page.
    fn queue_next_page(&mut self, next: Next, of: String, call: impl Fn(String, usize) -> Call) {
        match next {
            Next::Page(page) => self.queue.push_front(call(of, page)),
            Next::Nothing => {}
            Next::Unstable => self.problems.push(Problem::Unstable(of)),
        }
    }

    fn members(&mut self, group: String, sent: Option<&str>, answer: &ApiResponse) -> Result<Vec<Object>, Malformed> {
        let TokenPage { rows, total, next } = TokenPage::parse(Entity::User, sent, answer)?;
        self.groups.add_members(rows.into_iter().map(|row| row.id), total);
        if next.is_some() {
            self.queue.push_front(Call::Members { group, token: next });
            return Ok(Vec::new());
        }
        // Some members are in the scope only because of the group.
        match self.groups.members_read(&mut self.seen_users) {
            MembersRead::Complete => {}
            MembersRead::Incomplete => {
                self.queue.push_front(Call::Members { group, token: None });
                return Ok(Vec::new());
            }
            MembersRead::Unstable => self.problems.push(Problem::Unstable(group)),
        }
        Ok(self.go_on_with_group().into_iter().collect())
    }

    /// Queues a request for the next user found only as a member. Returns the group if there is none left.
    fn go_on_with_group(&mut self) -> Option<Object> {
        loop {
            match self.groups.next_unknown_member() {
                groups::Step::Ask(user) if self.rejected_users.contains(&user) => {
                    self.seen_users.remove(&user);
                }
                groups::Step::Ask(user) => {
                    self.queue.push_front(Call::User(user));
                    return None;
                }
                groups::Step::Complete(group) => {
                    self.queue.extend(self.groups.next_group());
                    return self.seen_groups.insert(group.id.clone()).then_some(group);
                }
                groups::Step::None => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
