//! Judges one Kafka record by the contract with consumers: topic, key, headers, value, and how they agree.
//!
//! To be called on every record that any test publishes. Stricter than a consumer has to be: a member that no schema
//! describes is a fault here, so that nothing is published that is not written down.

use std::collections::BTreeMap;

use idaas_bridge::schema::Schema;
use serde_json::Value;

use super::passwords::password_members;
use super::record::{Record, read};
use super::rules;
use super::validators::closed_validator;

/// Panics, naming every fault, if the record breaks the contract. Binary and structured mode are distinguished by
/// `content-type`. The prefix of `topic` is free.
pub(crate) fn assert_conforms(headers: &[(String, Vec<u8>)], key: Option<&[u8]>, value: &[u8], topic: &str) {
    let faults = nonconformities(headers, key, value, topic);
    assert!(
        faults.is_empty(),
        "a record on {topic} breaks the contract:\n  {}\nvalue: {}",
        faults.join("\n  "),
        String::from_utf8_lossy(value)
    );
}

/// Every fault of the record, in words. Empty if it conforms.
pub(crate) fn nonconformities(
    headers: &[(String, Vec<u8>)],
    key: Option<&[u8]>,
    value: &[u8],
    topic: &str,
) -> Vec<String> {
    let Some(entity) = entity_of(topic) else { return vec![format!("{topic} is no topic of the contract")] };
    let record = match read(headers, value) {
        Ok(record) => record,
        Err(faults) => return faults,
    };
    let mut faults = Vec::new();
    for error in closed_validator(entity).iter_errors(&record.data) {
        faults.push(format!("value at {}: {error}", error.instance_path()));
    }
    passwords(entity, value, &record, &mut faults);
    keys(entity, key, &record, &mut faults);
    attributes(entity, &record, &mut faults);
    rules::event_type(entity, &record.data, &mut faults);
    rules::sealed(entity, &record.data, &mut faults);
    rules::forms(entity, &record.data, &mut faults);
    faults
}

fn entity_of(topic: &str) -> Option<Schema> {
    let (prefix, entity) = topic.strip_suffix(".v1")?.rsplit_once('.')?;
    Schema::find(entity).filter(|schema| !prefix.is_empty() && *schema != Schema::Asyncapi)
}

fn passwords(entity: Schema, value: &[u8], record: &Record, faults: &mut Vec<String>) {
    let sealed = if record.structured { "data/password" } else { "password" };
    match password_members(value) {
        Err(error) => faults.push(format!("value: {error}")),
        Ok(found) => faults.extend(
            found
                .into_iter()
                .filter(|path| !(entity == Schema::Credential && path == sealed))
                .map(|path| format!("value: a password at {path}")),
        ),
    }
}

/// The id of what the record is about; none for topics that are not about an entity.
fn subject(entity: Schema, data: &Value) -> Option<&str> {
    let member = match entity {
        Schema::User | Schema::Credential => "user",
        Schema::OrganizationalUnit => "organizationalUnit",
        Schema::Group => "group",
        Schema::Connectivity | Schema::Unclassified | Schema::DeadLetter | Schema::Asyncapi => return None,
    };
    data[member]["id"].as_str()
}

fn expected_key(entity: Schema, data: &Value) -> Option<&str> {
    let event_id = data["origin"]["eventId"].as_str();
    let biz_id = data["origin"]["bizId"].as_str().filter(|id| !id.is_empty());
    match entity {
        Schema::User | Schema::OrganizationalUnit | Schema::Group | Schema::Credential => subject(entity, data),
        Schema::Connectivity => event_id,
        Schema::Unclassified => biz_id.or(event_id),
        Schema::DeadLetter => event_id.or(biz_id),
        Schema::Asyncapi => None,
    }
}

fn keys(entity: Schema, key: Option<&[u8]>, record: &Record, faults: &mut Vec<String>) {
    let expected = expected_key(entity, &record.data);
    let found = key.map(String::from_utf8_lossy);
    if found.as_deref() != expected {
        faults.push(format!("the key is {found:?}, not {expected:?}"));
    }
}

fn attributes(entity: Schema, record: &Record, faults: &mut Vec<String>) {
    let (name, data) = (entity.name(), &record.data);
    let origin = &data["origin"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut expected = BTreeMap::from([
        ("specversion", "1.0".to_owned()),
        ("source", format!("/idaas/{}/{}", text(&origin["instanceId"]), text(&origin["applicationId"]))),
        ("type", format!("com.alibabacloud.idaas.{name}.{}.v1", text(&data["action"]))),
        ("dataschema", format!("urn:idaas-bridge:schema:{name}:v1")),
    ]);
    expected.extend(subject(entity, data).map(|id| ("subject", id.to_owned())));
    expected.extend(expected_key(entity, data).map(|key| ("partitionkey", key.to_owned())));
    expected.extend(origin["eventTime"].as_str().map(|time| ("time", time.to_owned())));
    let suffix = if entity == Schema::Credential { ":credential" } else { "" };
    expected.extend(origin["eventId"].as_str().map(|id| ("id", format!("{id}{suffix}"))));
    if !expected.contains_key("id") && !record.attributes.get("id").is_some_and(|id| rules::is_generated(id)) {
        faults.push("ce_id: neither is there an event id, nor is it a UUID of version 8".to_owned());
    }
    for (attribute, value) in &expected {
        let found = record.attributes.get(*attribute);
        if found != Some(value) {
            faults.push(format!("ce_{attribute} is {found:?}, not {value:?}"));
        }
    }
    for (attribute, value) in &record.attributes {
        match attribute.as_str() {
            "id" => {}
            "traceparent" if rules::is_traceparent(value) => {}
            known if expected.contains_key(known) => {}
            _ => faults.push(format!("ce_{attribute}: {value:?} should not be there, or not in this form")),
        }
    }
}
