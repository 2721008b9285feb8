//! Maps IDaaS's current and older fields of an organizational unit to `organizationalUnit`.

use super::members;
use crate::event_type::Action;
use crate::field::{self, Additional, Drift, Field};
use crate::json::Members;
use crate::redact::SECRET_MEMBER;
use crate::value::{OrganizationalUnit, Source};

/// Reads a unit's fields in an event of this action. The id is empty if none was sent.
pub(super) fn read<'a>(members: Members<'a>, action: Action) -> (OrganizationalUnit<'a>, Additional<'a>) {
    let mut unit = OrganizationalUnit::default();
    let (mut name, mut external_id, mut updated_at) = (Field::Absent, Field::Absent, Field::Absent);
    let (mut source, mut users, mut drift) = (Source::default(), Field::Absent, Drift::default());
    let mut additional = Additional::default();
    for (member, value) in members.into_iter() {
        let additional = &mut additional;
        match &*member {
            "organizationalUnitId" => {
                if let Field::Value(id) = additional.read(member, value, field::identifier) {
                    unit.id = id;
                }
            }
            "organizationalUnitName" => unit.name = additional.read(member, value, field::text),
            "name" => name = additional.read(member, value, field::text),
            "parentId" => unit.parent_id = additional.read(member, value, field::identifier),
            "organizationalUnitExternalId" => unit.external_id = additional.read(member, value, field::identifier),
            "externalId" => external_id = additional.read(member, value, field::identifier),
            "organizationalUnitSourceType" => unit.source.kind = additional.read(member, value, field::text),
            "sourceType" => source.kind = additional.read(member, value, field::text),
            "organizationalUnitSourceId" => unit.source.id = additional.read(member, value, field::identifier),
            "sourceId" => source.id = additional.read(member, value, field::identifier),
            "createTime" => unit.created_at = additional.read(member, value, field::time),
            "updateTime" => unit.updated_at = additional.read(member, value, field::time),
            "lastUpdatedTime" => updated_at = additional.read(member, value, field::time),
            "description" => unit.description = additional.read(member, value, field::text),
            SECRET_MEMBER => {}
            field if members::names_users(field, action) => {
                let more = additional.read(member, value, |value| members::read(value, &mut drift));
                users = members::join(users, more, additional);
            }
            _ => additional.unknown(member, value),
        }
    }
    additional.drift.add(drift);
    if action == Action::MemberAdded {
        unit.added_members = users;
    } else {
        unit.removed_members = users;
    }
    unit.name = additional.one_of(unit.name, name);
    unit.external_id = additional.one_of(unit.external_id, external_id);
    unit.source.kind = additional.one_of(unit.source.kind, source.kind);
    unit.source.id = additional.one_of(unit.source.id, source.id);
    unit.updated_at = additional.one_of(unit.updated_at, updated_at);
    (unit, additional)
}
