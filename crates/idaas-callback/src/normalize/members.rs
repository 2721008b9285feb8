//! Reads the users that an event of an organizational unit adds or removes.
//!
//! IDaaS does not document the format, so several are accepted. A value in another format is returned to the caller,
//! and never dropped.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::event_type::Action;
use crate::field::{self, Additional, Drift, Field};
use crate::json::{self, Members, Raw};
use crate::redact::SECRET_MEMBER;
use crate::value::Member;

/// An unparsed id or name with the member's name, if it was sent.
type UserIds<'a> = Option<(Cow<'a, str>, Raw<'a>)>;

/// Returns true if, in an event of this action, the field names users that were added or removed.
pub(super) fn names_users(field: &str, action: Action) -> bool {
    const EITHER: [&str; 5] = ["userIds", "userId", "users", "memberIds", "memberId"];
    let (added, removed) = (action == Action::MemberAdded, action == Action::MemberRemoved);
    ((added || removed) && EITHER.contains(&field))
        || (added && field == "addedMembers")
        || (removed && field == "removedMembers")
}

/// Reads a list of ids or of objects, one id or one object, JSON text of any of these, or ids separated by commas.
/// `None` if any part of it is not understood.
pub(super) fn read<'a>(value: Raw<'a>, drift: &mut Drift) -> Option<Field<Vec<Member<'a>>>> {
    let Some(text) = json::text(value) else { return from_list(value, drift) };
    let text = text.trim();
    if value.get() == "\"\"" {
        Some(Field::Null)
    } else if text.starts_with(['[', '{']) {
        match from_list(Raw::parse(text)?, drift)? {
            Field::Value(members) => Some(Field::Value(members.into_iter().map(Member::into_owned).collect())),
            empty @ (Field::Null | Field::Absent) => Some(empty.map(|_| Vec::new())),
        }
    } else {
        from_separated(text).map(Field::Value)
    }
}

/// Joins the users of two fields of one event. A user in both appears once.
pub(super) fn join<'a>(
    known: Field<Vec<Member<'a>>>,
    more: Field<Vec<Member<'a>>>,
    additional: &mut Additional<'a>,
) -> Field<Vec<Member<'a>>> {
    let (mut known, more) = match (known, more) {
        (Field::Value(known), Field::Value(more)) => (known, more),
        (known @ Field::Value(_), Field::Null | Field::Absent) | (known @ Field::Null, Field::Absent) => return known,
        (Field::Null | Field::Absent, more) => return more,
    };
    let mut index_by_id: HashMap<Cow<'a, str>, usize> =
        known.iter().enumerate().filter_map(|(index, member)| Some((id(member)?, index))).collect();
    for member in more {
        let existing = id(&member).and_then(|id| index_by_id.get(&id)).and_then(|index| known.get_mut(*index));
        match existing {
            Some(existing) => {
                existing.name = additional.one_of(std::mem::take(&mut existing.name), member.name);
                existing.additional.merge(member.additional);
            }
            None => {
                index_by_id.extend(id(&member).map(|id| (id, known.len())));
                known.push(member);
            }
        }
    }
    Field::Value(known)
}

fn id<'a>(member: &Member<'a>) -> Option<Cow<'a, str>> {
    match &member.id {
        Field::Value(id) => Some(id.clone()),
        Field::Null | Field::Absent => None,
    }
}

fn from_list<'a>(value: Raw<'a>, drift: &mut Drift) -> Option<Field<Vec<Member<'a>>>> {
    if json::is_null(value) {
        return Some(Field::Null);
    }
    let elements = if value.get().starts_with('[') { json::elements(value.get())? } else { vec![value] };
    elements.into_iter().map(|element| read_one(element, drift)).collect::<Option<_>>().map(Field::Value)
}

/// Reads an id or an object. JSON text is not accepted as an id, because it would not be searched for passwords.
fn read_one<'a>(value: Raw<'a>, drift: &mut Drift) -> Option<Member<'a>> {
    match json::identifier(value) {
        Some(id) => (!id.contains(['"', '[', '{'])).then(|| Member::with_id(id)),
        None => Members::parse(value.get()).map(|members| read_object(members, drift)),
    }
}

fn read_object<'a>(members: Members<'a>, drift: &mut Drift) -> Member<'a> {
    let (mut ids, mut names): ([UserIds<'a>; 3], [UserIds<'a>; 3]) = Default::default();
    let mut additional = Additional::default();
    for (name, value) in members.into_iter() {
        let ([user_id, member_id, id], [user_name, member_name, other_name]) = (&mut ids, &mut names);
        let slot = match &*name {
            "userId" => user_id,
            "memberId" => member_id,
            "id" => id,
            "userName" => user_name,
            "memberName" => member_name,
            "name" => other_name,
            SECRET_MEMBER => continue,
            _ => {
                additional.unknown(name, value);
                continue;
            }
        };
        *slot = Some((name, value));
    }
    let id = first(ids, field::identifier, &mut additional);
    let name = first(names, field::text, &mut additional);
    drift.add(additional.drift);
    Member { id, name, additional }
}

/// Returns the first readable value. Other values that differ are kept as additional.
fn first<'a>(
    sent: [UserIds<'a>; 3],
    read: fn(Raw<'a>) -> Option<Field<Cow<'a, str>>>,
    additional: &mut Additional<'a>,
) -> Field<Cow<'a, str>> {
    let mut first = Field::Absent;
    for (name, value) in sent.into_iter().flatten() {
        match read(value) {
            Some(field) if !matches!(first, Field::Value(_)) => first = field,
            Some(Field::Null | Field::Absent) => {}
            Some(field) if field == first => {}
            Some(_) | None => additional.malformed(name, value),
        }
    }
    first
}

/// Reads ids separated by commas. `None` if a part does not look like an id.
fn from_separated<'a>(text: &str) -> Option<Vec<Member<'a>>> {
    let no_id = |part: &str| part.is_empty() || part.contains([' ', '\t', '\n', '\r', '"', '[', ']', '{', '}']);
    let ids: Vec<_> = text.split(',').map(str::trim).collect();
    let understood = !ids.iter().any(|part| no_id(part));
    understood.then(|| ids.into_iter().map(|id| Member::with_id(Cow::Owned(id.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns the members that are read from a value, and their drift.
    fn shown(value: &Value) -> Option<Value> {
        let text = value.to_string();
        let mut drift = Drift::default();
        read(Raw::parse(&text)?, &mut drift).map(|field| serde_json::to_value(field).unwrap())
    }

    #[test]
    fn ids_are_read_in_every_form() {
        let both = json!([{"id": "user_1"}, {"id": "2"}]);
        for sent in [
            json!(["user_1", "2"]),
            json!(["user_1", 2]),
            json!([{"userId": "user_1"}, {"memberId": 2}]),
            json!([{"id": "user_1"}, "2"]),
            json!("[\"user_1\", 2]"),
            json!(" [{\"userId\":\"user_1\"},{\"id\":\"\\u0032\"}]"),
            json!("user_1,2"),
            json!("user_1 , 2"),
        ] {
            assert_eq!(shown(&sent).as_ref(), Some(&both), "{sent}");
        }
        for sent in [json!("user_1"), json!({"userId": "user_1"}), json!("{\"id\":\"user_1\"}")] {
            assert_eq!(shown(&sent), Some(json!([{"id": "user_1"}])), "{sent}");
        }
        assert_eq!(shown(&json!(7)), Some(json!([{"id": "7"}])));
        assert_eq!(shown(&json!([])), Some(json!([])));
        assert_eq!(shown(&json!("[]")), Some(json!([])));
        for empty in [json!(null), json!("")] {
            assert_eq!(shown(&empty), Some(Value::Null), "{empty}");
        }
    }

    #[test]
    fn a_value_that_is_not_understood_is_not_read() {
        for sent in [
            json!(["user_1", null]),
            json!(["user_1", ""]),
            json!(["{\"password\":\"x\"}"]),
            json!([["user_1"]]),
            json!([1.5]),
            json!(true),
            json!("[\"user_1\""),
            json!("two users"),
            json!("user_1,,user_2"),
            json!(" "),
            json!("\"user_1\""),
        ] {
            assert_eq!(shown(&sent), None, "{sent}");
        }
    }

    #[test]
    fn an_object_keeps_every_member() {
        let sent = json!([{"id": 9, "userId": "user_1", "userName": "zs", "name": "Zhang San", "role": {"a": 1}}]);
        let read =
            json!([{"id": "user_1", "name": "zs", "additional": {"id": 9, "name": "Zhang San", "role": {"a": 1}}}]);
        assert_eq!(shown(&sent), Some(read));
        let twice = json!([{"id": "user_1", "userId": "user_1", "password": "x", "memberName": ""}]);
        assert_eq!(shown(&twice), Some(json!([{"id": "user_1", "name": null}])));
    }

    #[test]
    fn fields_only_name_users_in_events_about_them() {
        assert!(names_users("userIds", Action::MemberAdded) && names_users("removedMembers", Action::MemberRemoved));
        assert!(!names_users("userIds", Action::Created) && !names_users("removedMembers", Action::MemberAdded));
    }
}
