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
        let kept = &mut additional;
        match &*name {
            "groupId" => {
                if let Field::Value(id) = kept.read(name, value, field::identifier) {
                    group.id = id;
                }
            }
            "groupName" => group.name = kept.read(name, value, field::text),
            "groupExternalId" => group.external_id = kept.read(name, value, field::identifier),
            "allMembers" => group.members = member_list(name, value, kept),
            "addedMembers" => group.added_members = member_list(name, value, kept),
            "removedMembers" => group.removed_members = member_list(name, value, kept),
            SECRET_MEMBER => {}
            _ => kept.unknown(name, value),
        }
    }
    (group, additional)
}

fn member_list<'a>(name: Cow<'a, str>, value: Raw<'a>, kept: &mut Additional<'a>) -> Field<Vec<Member<'a>>> {
    let mut drift = Drift::default();
    let member_list = kept.read(name, value, |value| field::list(value, |members| person(members, &mut drift)));
    kept.drift.add(drift);
    member_list
}

fn person<'a>(members: Members<'a>, drift: &mut Drift) -> Member<'a> {
    let mut person = Member { id: Field::Absent, name: Field::Absent, additional: Additional::default() };
    for (name, value) in members.into_iter() {
        match &*name {
            "memberId" => person.id = person.additional.read(name, value, field::identifier),
            "memberName" => person.name = person.additional.read(name, value, field::text),
            SECRET_MEMBER => {}
            _ => person.additional.unknown(name, value),
        }
    }
    drift.add(person.additional.drift);
    person
}
