//! The JSON of a unit, a user and a group, in the API's form: times are numbers in milliseconds, and -1 means never.

use serde_json::{Map, Value, json};

use crate::directory::{Directory, Group, Unit, User};

/// Returns the fields of a user that lists contain.
pub(crate) fn user(directory: &Directory, user: &User) -> Map<String, Value> {
    let mut view = object(json!({
        "instanceId": directory.instance_id,
        "userId": user.id,
        "username": user.username,
        "displayName": user.display_name,
        "passwordSet": user.number.is_multiple_of(2),
        "email": format!("{}@example.com", user.username),
        "emailVerified": user.number.is_multiple_of(3),
        "userExternalId": user.id,
        "userSourceType": "build_in",
        "userSourceId": directory.instance_id,
        "status": if user.enabled { "enabled" } else { "disabled" },
        "accountExpireTime": -1,
        "registerTime": user.created,
        "lockExpireTime": -1,
        "createTime": user.created,
        "updateTime": user.updated,
        "description": if user.number.is_multiple_of(4) { "" } else { "A simulated account" },
    }));
    if !user.number.is_multiple_of(5) {
        view.extend(object(json!({
            "phoneRegion": "1",
            "phoneNumber": format!("20255501{:02}", user.number % 100),
            "phoneNumberVerified": true,
        })));
    }
    view
}

/// Returns all fields of a user.
pub(crate) fn user_details(directory: &Directory, person: &User) -> Map<String, Value> {
    let mut view = user(directory, person);
    let units = person.units.iter().filter_map(|id| directory.unit(id)).enumerate().map(|(index, unit)| {
        json!({"organizationalUnitId": unit.id, "organizationalUnitName": unit.name, "primary": index == 0})
    });
    let groups = directory.groups.values().filter(|group| group.members.contains(&person.id));
    let groups = groups.map(|group| json!({"groupId": group.id, "groupName": group.name, "description": ""}));
    view.extend(object(json!({
        "primaryOrganizationalUnitId": person.units.first(),
        "organizationalUnits": units.collect::<Vec<_>>(),
        "customFields": [{"fieldName": "cost_center", "fieldValue": (1000 + person.number % 50).to_string()}],
        "groups": groups.collect::<Vec<_>>(),
    })));
    view
}

/// Returns all fields of a unit.
pub(crate) fn unit(directory: &Directory, unit: &Unit) -> Map<String, Value> {
    let mut view = object(json!({
        "instanceId": directory.instance_id,
        "organizationalUnitId": unit.id,
        "organizationalUnitName": unit.name,
        "organizationalUnitExternalId": unit.id,
        "organizationalUnitSourceType": "build_in",
        "organizationalUnitSourceId": directory.instance_id,
        "createTime": unit.created,
        "updateTime": unit.updated,
        "description": "",
    }));
    if let Some(parent) = &unit.parent {
        view.insert("parentId".to_owned(), json!(parent));
    }
    view
}

/// Returns all fields of a group. A separate call lists its members.
pub(crate) fn group(directory: &Directory, group: &Group) -> Map<String, Value> {
    object(json!({
        "instanceId": directory.instance_id,
        "groupId": group.id,
        "groupName": group.name,
        "groupExternalId": group.id,
        "groupSourceType": "build_in",
        "groupSourceId": directory.instance_id,
        "description": "A simulated group",
        "createTime": group.created,
        "updateTime": group.updated,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
