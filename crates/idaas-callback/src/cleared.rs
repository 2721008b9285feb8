//! Writes the member `cleared`: the paths of an entity's members that are `null`. Costs nothing but the check if
//! there are none.

use serde::ser::SerializeMap;

use super::value::{Group, OrganizationalUnit, User};

/// Writes `cleared`, for languages whose types cannot distinguish null from absent.
pub(super) fn write_cleared<const N: usize, M: SerializeMap>(
    map: &mut M,
    members: &[(&'static str, bool); N],
) -> Result<(), M::Error> {
    if !members.iter().any(|(_, null)| *null) {
        return Ok(());
    }
    let paths: Vec<_> = members.iter().filter_map(|(path, null)| null.then_some(*path)).collect();
    map.serialize_entry("cleared", &paths)
}

impl User<'_> {
    /// Returns the path of each member that can be `null`, and true if it is.
    pub(super) const fn nulls(&self) -> [(&'static str, bool); 21] {
        [
            ("username", self.username.is_null()),
            ("displayName", self.display_name.is_null()),
            ("status", self.status.is_null()),
            ("email.address", self.email.address.is_null()),
            ("email.verified", self.email.verified.is_null()),
            ("phone.region", self.phone.region.is_null()),
            ("phone.number", self.phone.number.is_null()),
            ("phone.verified", self.phone.verified.is_null()),
            ("externalId", self.external_id.is_null()),
            ("source.type", self.source.kind.is_null()),
            ("source.id", self.source.id.is_null()),
            ("passwordSet", self.password_set.is_null()),
            ("primaryOrganizationalUnitId", self.primary_organizational_unit_id.is_null()),
            ("organizationalUnits", self.organizational_units.is_null()),
            ("customFields", self.custom_fields.is_null()),
            ("description", self.description.is_null()),
            ("registeredAt", self.registered_at.is_null()),
            ("createdAt", self.created_at.is_null()),
            ("updatedAt", self.updated_at.is_null()),
            ("accountExpiresAt", self.account_expires_at.is_null()),
            ("lockExpiresAt", self.lock_expires_at.is_null()),
        ]
    }
}

impl OrganizationalUnit<'_> {
    /// Returns the path of each member that can be `null`, and true if it is.
    pub(super) const fn nulls(&self) -> [(&'static str, bool); 10] {
        [
            ("name", self.name.is_null()),
            ("parentId", self.parent_id.is_null()),
            ("externalId", self.external_id.is_null()),
            ("source.type", self.source.kind.is_null()),
            ("source.id", self.source.id.is_null()),
            ("description", self.description.is_null()),
            ("createdAt", self.created_at.is_null()),
            ("updatedAt", self.updated_at.is_null()),
            ("addedMembers", self.added_members.is_null()),
            ("removedMembers", self.removed_members.is_null()),
        ]
    }
}

impl Group<'_> {
    /// Returns the path of each member that can be `null`, and true if it is.
    pub(super) const fn nulls(&self) -> [(&'static str, bool); 5] {
        [
            ("name", self.name.is_null()),
            ("externalId", self.external_id.is_null()),
            ("members", self.members.is_null()),
            ("addedMembers", self.added_members.is_null()),
            ("removedMembers", self.removed_members.is_null()),
        ]
    }
}
