//! The counts of a run.

use serde::Serialize;

use crate::diagnosis::Diagnosis;
use idaas_callback::event_type::Entity;

/// One value for each kind of entity that a directory has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ByEntity<T> {
    /// The value of organizational units.
    pub organizational_units: T,
    /// The value of users.
    pub users: T,
    /// The value of groups.
    pub groups: T,
}

impl<T> ByEntity<T> {
    /// The kinds of entities, parents before their children.
    pub const ENTITIES: [Entity; 3] = [Entity::OrganizationalUnit, Entity::User, Entity::Group];

    /// Returns the value of an entity. `None` if a directory has no such entity.
    #[must_use]
    pub const fn get(&self, entity: Entity) -> Option<&T> {
        match entity {
            Entity::OrganizationalUnit => Some(&self.organizational_units),
            Entity::User => Some(&self.users),
            Entity::Group => Some(&self.groups),
            Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
        }
    }

    /// Returns a mutable reference to the value of an entity. See [`ByEntity::get`].
    pub const fn get_mut(&mut self, entity: Entity) -> Option<&mut T> {
        match entity {
            Entity::OrganizationalUnit => Some(&mut self.organizational_units),
            Entity::User => Some(&mut self.users),
            Entity::Group => Some(&mut self.groups),
            Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
        }
    }
}

/// The counts of one kind of entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Entities that the API returned.
    pub read: u64,
    /// Records that Kafka confirmed, or that would be published without `--dry-run`.
    pub published: u64,
    /// Entities that this run had published before it was interrupted.
    pub resumed: u64,
    /// Entities that are in the state topics with the same values. 0 if the state topics were not read.
    pub unchanged: u64,
    /// Entities in the state topics that the walk did not see.
    pub missing: u64,
    /// Missing entities whose deletion was proven and published.
    pub deleted: u64,
    /// Missing entities for which the API's answer was inconclusive.
    pub unclear: u64,
    /// Records that could not be published.
    pub errors: u64,
}

/// The result of a run, also of one that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The name of the run.
    pub run: String,
    /// The name of the application.
    pub application: String,
    /// The counts.
    pub entities: ByEntity<Counts>,
    /// Requests to the API.
    pub requests: u64,
    /// Entities that were listed but no longer existed when they were requested.
    pub vanished: u64,
    /// True if the state topics were read, so that `unchanged` is known.
    pub compared: bool,
    /// True if nothing was published because of `--dry-run`.
    pub dry_run: bool,
    /// True if the whole directory was read.
    pub complete: bool,
    /// Problems that did not end the run.
    pub problems: Vec<Diagnosis>,
}

impl Summary {
    pub(super) fn count(&mut self, entity: Entity, change: impl FnOnce(&mut Counts)) {
        if let Some(counts) = self.entities.get_mut(entity) {
            change(counts);
        }
    }

    /// Returns true if everything was read and published.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let errors = |counts: &Counts| counts.errors == 0;
        let all = ByEntity::<Counts>::ENTITIES.into_iter().filter_map(|entity| self.entities.get(entity)).all(errors);
        self.complete && self.problems.is_empty() && all
    }
}
