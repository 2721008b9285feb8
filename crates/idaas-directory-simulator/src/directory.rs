//! Units, users and groups in memory. Lists keep the order in which their members were added.

use std::collections::{BTreeMap, HashMap};

/// The id of the root unit of every instance.
pub(crate) const ROOT: &str = "ou_root";

/// An organizational unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The id.
    pub id: String,
    /// The id of the parent. `None` for the root.
    pub parent: Option<String>,
    /// The name.
    pub name: String,
    /// Creation time, in milliseconds since 1970.
    pub created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
}

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: String,
    /// The number from which the invented fields are derived.
    pub number: u64,
    /// The login name.
    pub username: String,
    /// The display name.
    pub display_name: String,
    /// The ids of its units, the primary one first.
    pub units: Vec<String>,
    /// True if the account is enabled.
    pub enabled: bool,
    /// Creation time, in milliseconds since 1970.
    pub created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
}

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The ids of its members.
    pub members: Vec<String>,
    /// Creation time, in milliseconds since 1970.
    pub created: i64,
    /// Time of the last change, in milliseconds since 1970.
    pub updated: i64,
}

/// The directory of one instance, and the synchronization scope of the application.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(crate) instance_id: String,
    pub(crate) units: HashMap<String, Unit>,
    pub(crate) children: HashMap<String, Vec<String>>,
    pub(crate) users: HashMap<String, User>,
    pub(crate) users_of_unit: HashMap<String, Vec<String>>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// The units in the application's scope. Everything below them is in the scope too.
    pub scope_units: Vec<String>,
    /// The groups in the application's scope.
    pub scope_groups: Vec<String>,
}

impl Directory {
    /// Returns the sorted ids of all units.
    #[must_use]
    pub fn unit_ids(&self) -> Vec<String> {
        sorted(self.units.keys())
    }

    /// Returns the sorted ids of all users.
    #[must_use]
    pub fn user_ids(&self) -> Vec<String> {
        sorted(self.users.keys())
    }

    /// Returns the sorted ids of all groups.
    #[must_use]
    pub fn group_ids(&self) -> Vec<String> {
        sorted(self.groups.keys())
    }

    /// Returns the unit with this id.
    #[must_use]
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.get(id)
    }

    /// Returns the user with this id.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.get(id)
    }

    /// Returns the group with this id.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// Returns the ids of the direct users of a unit.
    #[must_use]
    pub fn users_in(&self, unit: &str) -> &[String] {
        self.users_of_unit.get(unit).map_or(&[], Vec::as_slice)
    }

    /// Returns the ids of the direct child units of a unit.
    #[must_use]
    pub fn children_of(&self, unit: &str) -> &[String] {
        self.children.get(unit).map_or(&[], Vec::as_slice)
    }

    /// Adds a unit below its parent.
    pub fn add_unit(&mut self, unit: Unit) {
        if let Some(parent) = &unit.parent {
            self.children.entry(parent.clone()).or_default().push(unit.id.clone());
        }
        self.units.insert(unit.id.clone(), unit);
    }

    /// Adds a user to its units.
    pub fn add_user(&mut self, user: User) {
        for unit in &user.units {
            self.users_of_unit.entry(unit.clone()).or_default().push(user.id.clone());
        }
        self.users.insert(user.id.clone(), user);
    }

    /// Adds a group.
    pub fn add_group(&mut self, group: Group) {
        self.groups.insert(group.id.clone(), group);
    }

    /// Deletes a user, also from its units and groups. Returns false if it does not exist.
    pub fn delete_user(&mut self, id: &str) -> bool {
        let Some(user) = self.users.remove(id) else { return false };
        for unit in &user.units {
            remove(self.users_of_unit.get_mut(unit), id);
        }
        for group in self.groups.values_mut() {
            remove(Some(&mut group.members), id);
        }
        true
    }

    /// Deletes a group. Returns false if it does not exist.
    pub fn delete_group(&mut self, id: &str) -> bool {
        remove(Some(&mut self.scope_groups), id);
        self.groups.remove(id).is_some()
    }

    /// Deletes a unit without child units and users. Returns false if it has some, or does not exist.
    pub fn delete_unit(&mut self, id: &str) -> bool {
        if !self.children_of(id).is_empty() || !self.users_in(id).is_empty() {
            return false;
        }
        let Some(unit) = self.units.remove(id) else { return false };
        if let Some(parent) = &unit.parent {
            remove(self.children.get_mut(parent), id);
        }
        remove(Some(&mut self.scope_units), id);
        true
    }

    /// Moves a unit and everything below it. Returns false if that would create a cycle, or if one of the units does
    /// not exist.
    pub fn move_unit(&mut self, id: &str, parent: &str, now: i64) -> bool {
        if !self.units.contains_key(parent) || self.ancestors(parent).iter().any(|ancestor| ancestor == id) {
            return false;
        }
        let Some(unit) = self.units.get_mut(id).filter(|unit| unit.id != parent) else { return false };
        let Some(old) = unit.parent.replace(parent.to_owned()) else { return false };
        unit.updated = now;
        remove(self.children.get_mut(&old), id);
        self.children.entry(parent.to_owned()).or_default().push(id.to_owned());
        true
    }

    /// Moves a user to one unit. Returns false if one of them does not exist.
    pub fn move_user(&mut self, id: &str, unit: &str, now: i64) -> bool {
        if !self.units.contains_key(unit) {
            return false;
        }
        let Some(user) = self.users.get_mut(id) else { return false };
        for old in std::mem::replace(&mut user.units, vec![unit.to_owned()]) {
            remove(self.users_of_unit.get_mut(&old), id);
        }
        user.updated = now;
        self.users_of_unit.entry(unit.to_owned()).or_default().push(id.to_owned());
        true
    }

    /// Renames a user. Returns false if it does not exist.
    pub fn rename_user(&mut self, id: &str, display_name: &str, now: i64) -> bool {
        let Some(user) = self.users.get_mut(id) else { return false };
        display_name.clone_into(&mut user.display_name);
        user.updated = now;
        true
    }

    /// Returns the unit itself, its parent, and so on up to the root.
    pub(crate) fn ancestors(&self, unit: &str) -> Vec<String> {
        let mut path = Vec::new();
        let mut next = self.units.get(unit);
        while let Some(unit) = next {
            path.push(unit.id.clone());
            next = unit.parent.as_ref().and_then(|parent| self.units.get(parent));
        }
        path
    }

    /// Returns true if the unit is in the application's scope.
    pub(crate) fn unit_in_scope(&self, unit: &str) -> bool {
        self.ancestors(unit).iter().any(|ancestor| self.scope_units.contains(ancestor))
    }

    /// Returns true if the user is in the application's scope, through a unit or a group.
    pub(crate) fn user_in_scope(&self, user: &User) -> bool {
        user.units.iter().any(|unit| self.unit_in_scope(unit)) || {
            let groups = self.scope_groups.iter().filter_map(|group| self.groups.get(group));
            groups.into_iter().any(|group| group.members.contains(&user.id))
        }
    }
}

fn remove(list: Option<&mut Vec<String>>, id: &str) {
    if let Some(list) = list {
        list.retain(|known| known != id);
    }
}

fn sorted<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.cloned().collect();
    ids.sort_unstable();
    ids
}
