//! Rules of the contract that no schema can express: event types and actions, sealed members, identifiers' forms.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use idaas_bridge::schema::Schema;
use idaas_callback::Reason;
use idaas_callback::jose::jwe::Sealed;
use serde_json::{Value, json};

use super::validators::is_time;

const PREFIX: &str = "urn:alibaba:idaas:app:event:";

/// Every event type that has an action of its own, without its prefix.
pub(crate) const EVENT_TYPES: [(&str, Schema, &str); 24] = [
    ("common:test", Schema::Connectivity, "tested"),
    ("ud:user:create", Schema::User, "created"),
    ("ud:user:delete", Schema::User, "deleted"),
    ("ud:user:update_info", Schema::User, "updated"),
    ("ud:user:update_password", Schema::User, "password_changed"),
    ("ud:user:enable", Schema::User, "enabled"),
    ("ud:user:disable", Schema::User, "disabled"),
    ("ud:user:lock", Schema::User, "locked"),
    ("ud:user:unlock", Schema::User, "unlocked"),
    ("ud:user:update_primary_ou", Schema::User, "moved"),
    ("ud:user:push", Schema::User, "snapshot"),
    ("ud:organizational_unit:create", Schema::OrganizationalUnit, "created"),
    ("ud:organizational_unit:delete", Schema::OrganizationalUnit, "deleted"),
    ("ud:organizational_unit:update", Schema::OrganizationalUnit, "updated"),
    ("ud:organizational_unit:update_parent_organizational_unit", Schema::OrganizationalUnit, "moved"),
    ("ud:organizational_unit:add_user", Schema::OrganizationalUnit, "member_added"),
    ("ud:organizational_unit:remove_user", Schema::OrganizationalUnit, "member_removed"),
    ("ud:organizational_unit:push", Schema::OrganizationalUnit, "snapshot"),
    ("ud:group:create", Schema::Group, "created"),
    ("ud:group:update", Schema::Group, "updated"),
    ("ud:group:delete", Schema::Group, "deleted"),
    ("ud:group:add_user", Schema::Group, "member_added"),
    ("ud:group:remove_user", Schema::Group, "member_removed"),
    ("ud:group:push", Schema::Group, "snapshot"),
];

/// The entity and the action that an event of this type becomes. `None` if the type is unknown.
pub(crate) fn action_of(event_type: &str) -> Option<(Schema, &'static str)> {
    if let Some(fetched) = event_type.strip_prefix("urn:idaas-bridge:fetch:") {
        let (entity, action) = match fetched.strip_suffix(":deleted") {
            Some(entity) => (entity, "deleted"),
            None => (fetched, "snapshot"),
        };
        return ["user", "organizational-unit", "group"]
            .contains(&entity)
            .then(|| Some((Schema::find(entity)?, action)))?;
    }
    let tail = event_type.strip_prefix(PREFIX)?;
    EVENT_TYPES.iter().find_map(|(own, entity, action)| (*own == tail).then_some((*entity, *action)))
}

/// The action must be the one of `origin.eventType`, and the topic the one of its entity.
pub(crate) fn event_type(entity: Schema, data: &Value, faults: &mut Vec<String>) {
    let (event_type, action) = (&data["origin"]["eventType"], data["action"].as_str().unwrap_or_default());
    let known = event_type.as_str().and_then(action_of);
    let fits = match entity {
        Schema::User | Schema::OrganizationalUnit | Schema::Group | Schema::Connectivity => {
            known == Some((entity, action))
        }
        Schema::Credential => matches!(action, "created" | "password_changed") && known == Some((Schema::User, action)),
        Schema::Unclassified => action == "unknown" && known.is_none(),
        // Only of a known type can be said what its data should be.
        Schema::DeadLetter => match data["reason"].as_str() {
            Some("malformed_data" | "missing_entity_id") => action == "refused" && known.is_some(),
            _ => action == "refused",
        },
        Schema::Asyncapi => false,
    };
    if !fits {
        faults.push(format!("the action {action:?} does not fit the event type {event_type} on this topic"));
    }
}

/// What the schemas only describe, because generators make wrapper types of patterns and lengths: the form of texts, no
/// empty `additional`, and in `cleared` exactly the members that are null.
pub(crate) fn forms(entity: Schema, data: &Value, faults: &mut Vec<String>) {
    let mut demand = |fits: bool, what: &str| {
        if !fits {
            faults.push(format!("{what} has not the form that its description promises"));
        }
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let snake =
        |text: &str| text.split('_').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    demand(data["schemaVersion"].as_str().and_then(|v| v.strip_prefix("1.")).is_some_and(digits), "schemaVersion");
    demand(data["action"].as_str().is_some_and(snake), "action");
    for name in ["eventId", "instanceId", "applicationId"] {
        demand(data["origin"][name] != "", name);
    }
    for name in ["eventTime", "receivedAt"] {
        demand(data["origin"][name].as_str().is_none_or(is_time), name);
    }
    demand(data.get("additional").is_none_or(|additional| additional != &json!({})), "additional");
    if let Some(member) = member(entity) {
        demand(data[member]["id"] != "", "the entity's id");
        let mut nulls = Vec::new();
        for (name, value) in data[member].as_object().into_iter().flatten() {
            demand(!name.ends_with("At") || value.as_str().is_none_or(is_time), name);
            for element in value.as_array().into_iter().flatten() {
                demand(element.get("additional") != Some(&json!({})), "additional");
            }
            let inner =
                value.as_object().into_iter().flatten().map(|(inner, value)| (format!("{name}.{inner}"), value));
            nulls.extend(
                inner.chain([(name.clone(), value)]).filter(|(_, value)| value.is_null()).map(|(path, _)| path),
            );
        }
        let cleared = data.get("cleared").map_or(Ok(Vec::new()), |paths| serde_json::from_value(paths.clone()));
        let mut cleared: Vec<String> = cleared.unwrap_or_default();
        cleared.sort();
        nulls.sort();
        demand(cleared == nulls && data.get("cleared") != Some(&json!([])), "cleared");
    }
    if entity == Schema::DeadLetter {
        demand(Reason::ALL.iter().any(|reason| data["reason"] == reason.code()), "reason");
        let (original, hash) = (data.get("original"), data["originalSha256"].as_str());
        demand(original.is_some() != (hash.is_some() && data["originalSize"].is_u64()), "original");
        demand(original.is_none_or(|original| original.is_object() || original.is_string()), "original");
        demand(original.is_none() || data["reason"] != "record_too_large", "original");
        demand(hash.is_none_or(|hash| is_hex(hash, 64)), "originalSha256");
    }
}

/// The member that holds what the record is about; none for topics that are not about an entity.
fn member(entity: Schema) -> Option<&'static str> {
    match entity {
        Schema::User | Schema::Credential => Some("user"),
        Schema::OrganizationalUnit => Some("organizationalUnit"),
        Schema::Group => Some("group"),
        Schema::Connectivity | Schema::Unclassified | Schema::DeadLetter | Schema::Asyncapi => None,
    }
}

/// What is sealed must be a compact JWE of the agreed form.
pub(crate) fn sealed(entity: Schema, data: &Value, faults: &mut Vec<String>) {
    let (member, named) = match entity {
        Schema::Credential => ("password", true),
        Schema::DeadLetter => ("original", false),
        Schema::User
        | Schema::OrganizationalUnit
        | Schema::Group
        | Schema::Connectivity
        | Schema::Unclassified
        | Schema::Asyncapi => return,
    };
    let Some(text) = data[member].as_str() else { return };
    if !is_sealed(text, named) {
        faults.push(format!(
            "{member} is not a compact JWE by dir and A256GCM{}",
            if named { " with a key id" } else { "" }
        ));
    }
}

fn is_sealed(text: &str, named: bool) -> bool {
    let header = text.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header: Value = header.and_then(|header| serde_json::from_slice(&header).ok()).unwrap_or_default();
    let kid = header["kid"].as_str();
    Sealed::parse(text).is_some()
        && header["alg"] == "dir"
        && header["enc"] == "A256GCM"
        && kid.map_or(!named, |kid| is_hex(kid, 16))
}

/// A UUID of version 8 in its usual form: 36 characters, lower case.
pub(crate) fn is_generated(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version_num() == 8 && uuid.to_string() == text)
}

/// W3C Trace Context, `traceparent` of version 00: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return false };
    let is_id = |id: &str, digits| is_hex(id, digits) && id.bytes().any(|digit| digit != b'0');
    *version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}
