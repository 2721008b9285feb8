//! Maps IDaaS's fields of a group to `group`.

use std::borrow::Cow;

use crate::field::{self, Additional, Drift, Field};
use crate::json::{Members, Raw};
use crate::redact::SECRET_MEMBER;
use crate::value::{Group, Member};

/// Reads a group's fields. The id is empty if none was sent.
pub(super) fn read<'a>(members: Members<'a>) -> (Group<'a>, Additional<'a>) {
    let mut group = Group::default();
    let mut additional = Additional::default();
    for (name, value) in members.into_iter() {
        let additional = &mut additional;
        match &*name {
            "groupId" => {
                if let Field::Value(id) = additional.read(name, value, field::identifier) {
                    group.id = id;
                }
            }
            "groupName" => group.name = additional.read(name, value, field::text),
            "groupExternalId" => group.external_id = additional.read(name, value, field::identifier),
            "allMembers" => group.members = member_list(name, value, additional),
            "addedMembers" => group.added_members = member_list(name, value, additional),
            "removedMembers" => group.removed_members = member_list(name, value, additional),
            SECRET_MEMBER => {}
            _ => additional.unknown(name, value),
        }
    }
    (group, additional)
}

fn member_list<'a>(name: Cow<'a, str>, value: Raw<'a>, additional: &mut Additional<'a>) -> Field<Vec<Member<'a>>> {
    let mut drift = Drift::default();
    let member_list =
        additional.read(name, value, |value| field::list(value, |members| read_member(members, &mut drift)));
    additional.drift.add(drift);
    member_list
}

fn read_member<'a>(members: Members<'a>, drift: &mut Drift) -> Member<'a> {
    let mut member = Member { id: Field::Absent, name: Field::Absent, additional: Additional::default() };
    for (name, value) in members.into_iter() {
        match &*name {
            "memberId" => member.id = member.additional.read(name, value, field::identifier),
            "memberName" => member.name = member.additional.read(name, value, field::text),
            SECRET_MEMBER => {}
            _ => member.additional.unknown(name, value),
        }
    }
    drift.add(member.additional.drift);
    member
}
