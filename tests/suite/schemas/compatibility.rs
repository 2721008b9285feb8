//! No schema breaks the consumers of the one released before; and the judge of that is itself judged.

use std::collections::BTreeSet;
use std::fs;

use idaas_bridge::schema::Schema;
use serde_json::{Value, json};

use super::directory;
use crate::support::compatibility::{BreakKind, breaking_changes};
use crate::support::validators::{document, record_schemas};

fn released(schema: Schema) -> Value {
    let path = directory("tests/fixtures/released/v1").join(format!("{}.schema.json", schema.name()));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn no_schema_breaks_the_consumers_of_its_last_release() {
    for schema in record_schemas() {
        let breaks = breaking_changes(&released(schema), &document(schema));
        let breaks: Vec<String> = breaks.iter().map(ToString::to_string).collect();
        assert!(
            breaks.is_empty(),
            "{} breaks its consumers; only optional properties and actions may be added within v1:\n  {}",
            schema.name(),
            breaks.join("\n  ")
        );
    }
}

#[test]
fn every_released_schema_is_still_published() {
    let files = fs::read_dir(directory("tests/fixtures/released/v1")).unwrap();
    let found: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let expected = record_schemas().map(|schema| format!("{}.schema.json", schema.name())).collect();
    assert_eq!(found, expected);
}

/// A schema with something planted at a JSON pointer, or taken away where there is nothing to plant.
fn changed(schema: Schema, pointer: &str, value: Option<Value>) -> Value {
    let mut document = document(schema);
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(member.to_owned(), value)),
        None => assert!(parent.remove(member).is_some(), "{pointer} was not there"),
    }
    document
}

#[test]
fn each_kind_of_break_is_found_where_it_is_planted() {
    use BreakKind::{
        ChangedIdentity, ChangedKeyword, ChangedPattern, ClosedObject, LostRequired, NarrowedEnum, NarrowedType,
        NewRequired, RemovedAction, RemovedProperty, WidenedType,
    };
    use Schema::{Connectivity, DeadLetter, Group, User};
    let user = "/$defs/User/properties";
    let cases = [
        (User, "/$id".to_owned(), Some(json!("urn:idaas-bridge:schema:user:v2")), ChangedIdentity),
        (User, "/$schema".to_owned(), None, ChangedIdentity),
        (User, format!("{user}/username"), None, RemovedProperty),
        (User, "/$defs/Phone/properties/region".to_owned(), None, RemovedProperty),
        (User, "/$defs/OrganizationalUnitMembership/properties/additional".to_owned(), None, RemovedProperty),
        (User, "/properties/additional".to_owned(), None, RemovedProperty),
        (User, "/$defs/User/properties".to_owned(), None, RemovedProperty),
        (User, "/$defs/User/required".to_owned(), Some(json!(["id", "username"])), NewRequired),
        (Group, "/$defs/Member/required".to_owned(), Some(json!(["id"])), NewRequired),
        (User, "/$defs/User/required".to_owned(), Some(json!([])), LostRequired),
        (User, "/$defs/Origin/required".to_owned(), None, LostRequired),
        (User, format!("{user}/username/type"), Some(json!("string")), NarrowedType),
        (User, format!("{user}/username/type"), Some(json!(["string", "null", "number"])), WidenedType),
        (User, format!("{user}/username/type"), None, WidenedType),
        (User, format!("{user}/id/type"), Some(json!(["string", "null"])), WidenedType),
        (User, format!("{user}/passwordSet/type"), Some(json!(["string", "null"])), NarrowedType),
        (User, format!("{user}/organizationalUnits/items/$ref"), Some(json!("#/$defs/Email")), RemovedProperty),
        (User, format!("{user}/organizationalUnits/items"), None, ChangedKeyword),
        (Connectivity, "/properties/data/type".to_owned(), Some(json!("object")), NarrowedType),
        (User, format!("{user}/status/enum"), Some(json!(["enabled", "disabled"])), NarrowedEnum),
        (DeadLetter, "/properties/reason/enum".to_owned(), Some(json!(["malformed_event"])), NarrowedEnum),
        (DeadLetter, "/properties/reason/examples".to_owned(), Some(json!(["malformed_event"])), RemovedAction),
        (User, format!("{user}/username/pattern"), Some(json!("^[a-z]+$")), ChangedPattern),
        (User, "/$defs/Email/additionalProperties".to_owned(), Some(json!(false)), ClosedObject),
        (User, "/properties/additional/additionalProperties".to_owned(), Some(json!({"type": "string"})), ClosedObject),
        (User, "/properties/action/examples".to_owned(), Some(json!(["created"])), RemovedAction),
        (User, "/properties/action/enum".to_owned(), Some(json!(["created"])), NarrowedEnum),
        (User, format!("{user}/createdAt/format"), None, ChangedKeyword),
        (User, format!("{user}/id/minLength"), Some(json!(5)), ChangedKeyword),
        (User, format!("{user}/username/maxLength"), Some(json!(64)), ChangedKeyword),
        (User, format!("{user}/username"), Some(json!(false)), ChangedKeyword),
        (DeadLetter, "/anyOf".to_owned(), Some(json!([{"required": ["original"]}])), ChangedKeyword),
    ];
    for (schema, pointer, value, kind) in cases {
        let breaks = breaking_changes(&released(schema), &changed(schema, &pointer, value.clone()));
        assert!(
            breaks.iter().any(|found| found.kind == kind),
            "{} with {value:?} at {pointer}: {kind:?} not among {breaks:?}",
            schema.name()
        );
    }
}

#[test]
fn another_reason_is_an_addition() {
    let mut reasons = document(Schema::DeadLetter)["properties"]["reason"]["examples"].clone();
    reasons.as_array_mut().unwrap().push(json!("bad_luck"));
    let current = changed(Schema::DeadLetter, "/properties/reason/examples", Some(reasons));
    assert!(breaking_changes(&released(Schema::DeadLetter), &current).is_empty());
}

#[test]
fn additions_and_better_words_are_no_break() {
    let mut actions = document(Schema::User)["properties"]["action"]["examples"].clone();
    actions.as_array_mut().unwrap().push(json!("renamed"));
    let cases = [
        ("/$defs/User/properties/nickname", json!({"type": "string"})),
        ("/$defs/Origin/properties/region", json!({"type": "string"})),
        ("/properties/delegation", json!({"type": "object", "required": ["id"], "additionalProperties": false})),
        ("/$defs/unused", json!({"type": "null"})),
        ("/properties/action/examples", actions),
        ("/properties/action/description", json!("What happened.")),
        ("/$defs/User/title", json!("Account")),
        ("/$defs/User/properties/username/deprecated", json!(true)),
        // The same schema written in another order.
        ("/$defs/User/properties/username", json!({"type": ["null", "string"]})),
    ];
    for (pointer, value) in cases {
        let breaks = breaking_changes(&released(Schema::User), &changed(Schema::User, pointer, Some(value)));
        assert!(breaks.is_empty(), "{pointer}: {breaks:?}");
    }
}
