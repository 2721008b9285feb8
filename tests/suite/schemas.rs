//! The schemas as documents: valid, open, explained, with a complete set of examples, and no looser than promised.

mod compatibility;
mod conformance;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use idaas_bridge::schema::{Schema, documents};
use serde_json::{Value, json};

use crate::support::rules;
use crate::support::validators::{document, record_schemas, validator};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

fn directory(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The examples of the schema with that name by their files' names, in that order.
fn examples(schema: &str) -> BTreeMap<String, Value> {
    let folder = directory("asyncapi/examples").join(schema);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&fs::read(&path).unwrap()).unwrap())
        })
        .collect()
}

fn example(schema: Schema, name: &str) -> Value {
    examples(schema.name()).remove(name).unwrap()
}

fn texts(values: &Value) -> Vec<String> {
    let mut texts: Vec<String> =
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// Calls `visit` with every schema inside a schema and the path to it.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for keyword in ["properties", "$defs"] {
        for (name, inner) in schema[keyword].as_object().into_iter().flatten() {
            walk(inner, &format!("{path}/{keyword}/{name}"), visit);
        }
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}/items"), visit);
    }
}

#[test]
fn every_schema_is_valid_by_the_metaschema_of_2020_12() {
    for schema in record_schemas() {
        let document = document(schema);
        assert_eq!(document["$schema"], DRAFT, "{}", schema.name());
        if let Err(error) = jsonschema::draft202012::meta::validate(&document) {
            panic!("{}: {error} at {}", schema.name(), error.instance_path());
        }
    }
}

#[test]
fn every_object_stays_open_so_that_members_can_be_added() {
    for schema in record_schemas() {
        walk(&document(schema), "", &mut |path, inner| {
            if inner["type"] == "object" {
                assert_eq!(inner["additionalProperties"], true, "{}{path}", schema.name());
            }
        });
    }
}

#[test]
fn generators_find_a_name_for_each_object_and_plain_scalars() {
    const UNFIT: [&str; 11] =
        ["if", "then", "else", "allOf", "oneOf", "not", "pattern", "minLength", "maxLength", "enum", "const"];
    for schema in record_schemas() {
        let document = document(schema);
        let title = document["title"].as_str().unwrap();
        assert!(title.ends_with("Event") && title.bytes().all(|byte| byte.is_ascii_alphabetic()), "{title}");
        for (name, definition) in document["$defs"].as_object().unwrap() {
            assert_eq!((&definition["title"], &definition["type"]), (&json!(name), &json!("object")), "{title}");
        }
        walk(&document, "", &mut |path, inner| {
            for keyword in UNFIT {
                assert!(inner.get(keyword).is_none(), "{}{path}: {keyword}", schema.name());
            }
            // A member without a type is of any type to JSON Schema, and an object to json-schema-to-typescript.
            let any = inner.get("type").or_else(|| inner.get("$ref")).is_none();
            assert_eq!(inner.get("anyOf"), any.then_some(&json!([{}])), "{}{path}", schema.name());
        });
    }
}

#[test]
fn the_schemas_directory_holds_nothing_but_json_schemas() {
    let entries = fs::read_dir(directory("schemas")).unwrap();
    let found: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names = documents().map(|(name, _)| name).filter(|name| *name != "asyncapi");
    assert_eq!(found, names.map(|name| format!("{name}.schema.json")).collect());
}

#[test]
fn every_member_is_explained() {
    for schema in record_schemas() {
        let document = document(schema);
        walk(&document, "", &mut |path, inner| {
            let target =
                inner["$ref"].as_str().map(|reference| document.pointer(reference.trim_start_matches('#')).unwrap());
            let words = inner["description"].as_str().or_else(|| target?["description"].as_str());
            assert!(words.is_some_and(|words| words.ends_with('.')), "{}{path} has no description", schema.name());
        });
    }
}

#[test]
fn a_definition_of_one_name_is_the_same_in_every_schema() {
    let mut known: BTreeMap<String, (Schema, Value)> = BTreeMap::new();
    for schema in record_schemas() {
        for (name, definition) in document(schema)["$defs"].as_object().unwrap().clone() {
            // A dead letter may have lost what every other record has.
            if name == "Origin" && schema == Schema::DeadLetter {
                continue;
            }
            let (first, before) = known.entry(name.clone()).or_insert((schema, definition.clone()));
            assert_eq!(before, &definition, "{name} of {} and of {}", first.name(), schema.name());
        }
    }
}

#[test]
fn every_example_fits_its_schema_with_formats_asserted() {
    for schema in record_schemas() {
        for (name, example) in examples(schema.name()) {
            let errors = validator(schema).iter_errors(&example).into_errors();
            assert!(errors.is_empty(), "{}/{name}: {errors}", schema.name());
        }
    }
}

#[test]
fn every_action_and_every_reason_has_its_example() {
    for schema in record_schemas() {
        let properties = document(schema)["properties"].take();
        let (member, values) = match schema {
            Schema::DeadLetter => ("reason", texts(&properties["reason"]["examples"])),
            Schema::User
            | Schema::OrganizationalUnit
            | Schema::Group
            | Schema::Connectivity
            | Schema::Unclassified
            | Schema::Credential
            | Schema::Asyncapi => ("action", texts(&properties["action"]["examples"])),
        };
        let examples = examples(schema.name());
        assert_eq!(examples.keys().cloned().collect::<Vec<_>>(), values, "{}", schema.name());
        for (name, example) in examples {
            assert_eq!(example[member], name, "{}/{name}", schema.name());
        }
    }
}

#[test]
fn the_asyncapi_document_names_every_topic_schema_and_example() {
    let text = Schema::Asyncapi.text();
    let payloads = text.lines().filter_map(|line| serde_json::from_str(line.trim().strip_prefix("payload: ")?).ok());
    let payloads: Vec<Value> = payloads.collect();
    for schema in record_schemas() {
        let name = schema.name();
        assert!(text.contains(&format!("address: idaas.{name}.v1\n")), "{name}: no channel");
        assert!(text.contains(&format!("$ref: '../schemas/{name}.schema.json'\n")), "{name}: no payload");
        for (example, value) in examples(schema.name()) {
            assert!(payloads.contains(&value), "{name}/{example}");
        }
    }
}

/// Plants a value in an example: at a JSON pointer, or takes the member away where there is none.
fn planted(schema: Schema, name: &str, pointer: &str, value: Option<Value>) -> Value {
    let mut record = example(schema, name);
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(member.to_owned(), value)),
        None => assert!(parent.remove(member).is_some(), "{pointer} was not there"),
    }
    record
}

#[test]
fn a_value_against_the_contract_does_not_fit() {
    use Schema::{Connectivity, Credential, DeadLetter, Group, OrganizationalUnit, User};
    let cases = [
        (User, "created", "/user/id", Some(Value::Null)),
        (User, "created", "/user/id", Some(json!(""))),
        (User, "created", "/user/id", Some(json!(42))),
        (User, "deleted", "/user/id", None),
        (User, "created", "/user", None),
        (User, "created", "/user/email", Some(json!("zh@example.com"))),
        (User, "created", "/user/passwordSet", Some(json!("true"))),
        (User, "created", "/user/createdAt", Some(json!("2022-03-29T05:25:53Z"))),
        (User, "created", "/user/createdAt", Some(json!("2022-03-29T05:25:53.621000Z"))),
        (User, "created", "/user/createdAt", Some(json!("2022-03-29T05:25:53.621+00:00"))),
        (User, "created", "/user/createdAt", Some(json!("2022-02-30T05:25:53.621Z"))),
        (User, "created", "/user/accountExpiresAt", Some(json!("-1"))),
        (User, "created", "/user/accountExpiresAt", Some(json!(1_648_625_692_578_i64))),
        (User, "created", "/user/organizationalUnits", Some(json!(["ou_1"]))),
        (User, "created", "/user/customFields", Some(json!({"name": "value"}))),
        (User, "created", "/additional", Some(json!({}))),
        (User, "created", "/schemaVersion", Some(json!("2.0"))),
        (User, "created", "/schemaVersion", Some(json!(1.0))),
        (User, "created", "/action", Some(json!("Password Changed"))),
        (User, "created", "/action", None),
        (User, "created", "/origin", None),
        (User, "created", "/origin/eventId", None),
        (User, "created", "/origin/instanceId", None),
        (User, "created", "/origin/applicationId", Some(Value::Null)),
        (User, "created", "/origin/aliUid", Some(json!(1_021_384_455_667_788_i64))),
        (User, "created", "/origin/eventTime", Some(json!("yesterday"))),
        (User, "created", "/origin/eventTime", Some(json!(1e30))),
        (User, "created", "/origin/aliUid", Some(Value::Null)),
        (User, "created", "/cleared", Some(json!("accountExpiresAt"))),
        (User, "created", "/cleared", Some(json!([]))),
        (User, "created", "/origin/receivedAt", Some(json!("2022-03-30T07:34:52Z"))),
        (User, "created", "/origin/receivedAt", Some(Value::Null)),
        (OrganizationalUnit, "created", "/organizationalUnit/id", None),
        (OrganizationalUnit, "created", "/organizationalUnit/source", Some(json!("build_in"))),
        (Group, "snapshot", "/group/members", Some(json!([["user_1", "Li Si"]]))),
        (Connectivity, "tested", "/origin/eventType", None),
        (DeadLetter, "missing_entity_id", "/reason", Some(json!("bad_luck"))),
        (DeadLetter, "missing_entity_id", "/reason", None),
        (DeadLetter, "missing_entity_id", "/original", None),
        (DeadLetter, "missing_entity_id", "/original", Some(json!("in the clear"))),
        (DeadLetter, "record_too_large", "/originalSize", None),
        (DeadLetter, "record_too_large", "/originalSha256", Some(json!("ABCD"))),
        (DeadLetter, "record_too_large", "/original", Some(json!({}))),
        (Credential, "created", "/password", Some(json!("hunter2"))),
        (Credential, "created", "/password", None),
    ];
    for (schema, name, pointer, value) in cases {
        let record = planted(schema, name, pointer, value.clone());
        let mut faults = Vec::new();
        rules::forms(schema, &record, &mut faults);
        rules::sealed(schema, &record, &mut faults);
        let fits = validator(schema).is_valid(&record) && faults.is_empty();
        assert!(!fits, "{}/{name} with {value:?} at {pointer}", schema.name());
    }
}

#[test]
fn what_a_consumer_must_bear_fits() {
    use Schema::{DeadLetter, User};
    let cases = [
        (User, "created", "/user/addedLater", json!(true)),
        (User, "created", "/addedLater", json!({"any": "thing"})),
        (User, "created", "/action", json!("renamed")),
        (User, "created", "/schemaVersion", json!("1.7")),
        (User, "created", "/user/status", json!("on_probation")),
        (User, "created", "/user/email", json!({"address": null})),
        (User, "created", "/user/organizationalUnits", Value::Null),
        (User, "created", "/user/customFields", json!([{"name": "", "value": ["a", 1]}, {"additional": {"x": 1}}])),
        (DeadLetter, "missing_entity_id", "/original", json!({})),
        (DeadLetter, "missing_entity_id", "/reason", json!("added_later")),
    ];
    for (schema, name, pointer, value) in cases {
        let record = planted(schema, name, pointer, Some(value.clone()));
        let errors = validator(schema).iter_errors(&record).into_errors();
        assert!(errors.is_empty(), "{}/{name} with {value} at {pointer}: {errors}", schema.name());
    }
}
