//! The schemas of the state topics: valid, open, explained, and what the examples and the merge produce fits them.

use std::collections::BTreeMap;

use idaas_bridge::schema::{Schema, StateSchema};
use idaas_state::{Entity, Event, Record, apply};
use serde_json::{Value, json};

use super::{document, examples, walk};

fn schema(schema: StateSchema) -> Value {
    serde_json::from_str(schema.text()).unwrap()
}

/// Every description-less or closed object is a defect; unknown members are defects of the producer.
fn closed(mut schema: Value) -> Value {
    let definitions = schema["$defs"].as_object_mut().unwrap();
    definitions.values_mut().for_each(|definition| definition["additionalProperties"] = json!(false));
    schema["additionalProperties"] = json!(false);
    schema
}

#[test]
fn state_schemas_are_valid_open_and_explained() {
    for state in StateSchema::ALL {
        let document = schema(state);
        assert!(jsonschema::draft202012::meta::is_valid(&document), "{}", state.name());
        assert!(document["title"].as_str().unwrap().ends_with("State"));
        for (name, definition) in document["$defs"].as_object().unwrap() {
            assert_eq!((&definition["title"], &definition["type"]), (&json!(name), &json!("object")));
        }
        walk(&document, "", &mut |path, inner| {
            assert!(inner["type"] != "object" || inner["additionalProperties"] == true, "{}{path}", state.name());
            let target =
                inner["$ref"].as_str().map(|reference| document.pointer(reference.trim_start_matches('#')).unwrap());
            let words = inner["description"].as_str().or_else(|| target?["description"].as_str());
            assert!(words.is_some_and(|words| words.ends_with('.')), "{}{path} has no description", state.name());
        });
    }
}

#[test]
fn a_definition_of_one_name_is_the_same_in_every_state_schema() {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let events = [Schema::User, Schema::OrganizationalUnit, Schema::Group].map(document);
    for document in StateSchema::ALL.map(schema).into_iter().chain(events) {
        for (name, definition) in document["$defs"].as_object().unwrap() {
            assert_eq!(known.entry(name.clone()).or_insert_with(|| definition.clone()), definition, "{name}");
        }
    }
}

#[test]
fn examples_of_states_fit_their_schemas_and_are_in_the_document() {
    let text = Schema::Asyncapi.text();
    let payloads: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.trim().strip_prefix("payload: ")?).ok()).collect();
    for state in StateSchema::ALL {
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&closed(schema(state))).unwrap();
        let entity = state.name().strip_suffix("-state").unwrap();
        assert!(text.contains(&format!("address: idaas.{entity}.state.v1\n")), "{entity}: no channel");
        assert!(text.contains(&format!("$ref: '../schemas/{}.schema.json'\n", state.name())), "{entity}: no payload");
        let examples = examples(state.name());
        assert!(!examples.is_empty());
        for (name, example) in examples {
            let errors = validator.iter_errors(&example).into_errors();
            assert!(errors.is_empty(), "{}/{name}: {errors}", state.name());
            assert!(payloads.contains(&example), "{}/{name}", state.name());
        }
    }
}

#[test]
fn states_merged_from_the_examples_of_events_fit_their_schemas() {
    let pairs = [
        (Entity::User, Schema::User, StateSchema::User),
        (Entity::OrganizationalUnit, Schema::OrganizationalUnit, StateSchema::OrganizationalUnit),
        (Entity::Group, Schema::Group, StateSchema::Group),
    ];
    for (entity, event, state) in pairs {
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&closed(schema(state))).unwrap();
        for (name, example) in examples(event.name()) {
            let value = example.to_string();
            let event = Event::read(entity, std::iter::empty(), value.as_bytes(), 0).unwrap();
            let record = Record::of(&event, &apply(None, &event).outcome).unwrap();
            let Some(value) = record.value else { continue };
            let value: Value = serde_json::from_slice(&value).unwrap();
            let errors = validator.iter_errors(&value).into_errors();
            assert!(errors.is_empty(), "{}/{name}: {errors}", state.name());
        }
    }
}
