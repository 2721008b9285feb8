//! Converts the API's objects to the field names of callbacks.
//!
//! Nearly all names are the same. This module handles the exceptions; unknown fields are unchanged.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use idaas_callback::event_type::Entity;

/// The unparsed fields of an entity.
type Fields = BTreeMap<String, Box<RawValue>>;

/// An entity of the directory, as it was when it was requested.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Its kind.
    pub(super) entity: Entity,
    /// Its id.
    pub(super) id: String,
    /// When it was requested, in milliseconds since 1970. If it was read by several requests, the time of the first:
    /// what has changed since then can be missing, and its own event is newer.
    pub(super) read_at: i64,
    fields: Fields,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member<'a> {
    member_id: &'a str,
}

impl Object {
    /// Parses an object of the API that was requested at `read_at`. `None` if it is not an object with an id.
    pub(super) fn parse(entity: Entity, json: &RawValue, read_at: i64) -> Option<Self> {
        let mut fields: Fields = serde_json::from_str(json.get()).ok()?;
        let id: String = serde_json::from_str(fields.get(id_field(entity)?)?.get()).ok()?;
        // The record's `origin` contains it.
        fields.remove("instanceId");
        // Group records contain the members. In a user's record, the groups would remain after the user has left one.
        fields.remove("groups");
        for name in ["accountExpireTime", "lockExpireTime"] {
            if fields.get(name).is_some_and(|time| matches!(time.get(), "0" | "\"0\"")) {
                fields.insert(name.to_owned(), raw("-1")?);
            }
        }
        (!id.is_empty()).then_some(Self { entity, id, read_at, fields })
    }

    /// Creates an entity of which only the id is known, and that it was requested at `read_at`.
    pub(super) fn with_id(entity: Entity, id: &str, read_at: i64) -> Option<Self> {
        let fields = Fields::from([(id_field(entity)?.to_owned(), to_raw_value(id).ok()?)]);
        Some(Self { entity, id: id.to_owned(), read_at, fields })
    }

    /// Returns the same group with these members.
    pub(super) fn with_members(mut self, members: &[String]) -> Self {
        let members: Vec<_> = members.iter().map(|member_id| Member { member_id }).collect();
        // A list of texts can always be serialized.
        self.fields.extend(to_raw_value(&members).ok().map(|members| ("allMembers".to_owned(), members)));
        self
    }

    /// Returns the fields as a JSON object.
    pub(super) fn json(&self) -> Option<Box<RawValue>> {
        to_raw_value(&self.fields).ok()
    }
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}

/// Returns the name of the field that contains an entity's id.
const fn id_field(entity: Entity) -> Option<&'static str> {
    match entity {
        Entity::User => Some("userId"),
        Entity::OrganizationalUnit => Some("organizationalUnitId"),
        Entity::Group => Some("groupId"),
        Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entity: Entity, json: &str) -> Option<Object> {
        Object::parse(entity, &raw(json).unwrap(), 0)
    }

    #[test]
    fn what_others_tell_is_left_out_and_the_rest_passes() {
        let user =
            r#"{"userId":"u","instanceId":"i","groups":[{}],"lockExpireTime":0,"accountExpireTime":7,"new":1.50}"#;
        let json = parsed(Entity::User, user).unwrap().json().unwrap();
        assert_eq!(json.get(), r#"{"accountExpireTime":7,"lockExpireTime":-1,"new":1.50,"userId":"u"}"#);
    }

    #[test]
    fn group_has_its_members_in_the_form_of_callbacks() {
        let group = parsed(Entity::Group, r#"{"groupId":"g"}"#).unwrap().with_members(&["a\"".to_owned()]);
        assert_eq!(group.json().unwrap().get(), r#"{"allMembers":[{"memberId":"a\""}],"groupId":"g"}"#);
    }

    #[test]
    fn object_without_an_id_is_none() {
        for json in ["{}", "[]", r#"{"userId":""}"#, r#"{"userId":7}"#] {
            assert!(parsed(Entity::User, json).is_none(), "{json}");
        }
    }
}
