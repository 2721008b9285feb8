//! The events of a load: each carries its number among its entity's, so that their order is seen in the records.
//!
//! Written here and not by the program's own generator, because the number must come out where a reader can find it
//! without knowing how the bridge makes records.

use idaas_simulator::events::Event;
use idaas_simulator::kind::Kind;
use serde_json::{Value, json};

/// What something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    User,
    Unit,
}

/// Which fields of a record's value hold the entity's number of the event, for records of this topic.
pub(super) fn number_in(topic: &str, value: &Value) -> Option<u64> {
    let text = if topic.ends_with(".user.v1") {
        &value["user"]["displayName"]
    } else if topic.ends_with(".organizational-unit.v1") {
        &value["organizationalUnit"]["name"]
    } else {
        return None;
    };
    text.as_str()?.strip_prefix("n=")?.parse().ok()
}

/// The event with this number of an entity. `padding` bytes make it larger.
pub(super) fn event(subject: Subject, entity: &str, event_id: &str, number: u64, padding: usize, now: i64) -> Event {
    // Nothing that compresses: it is to need its room.
    let description: String = std::iter::repeat_with(fastrand::alphanumeric).take(padding).collect();
    let (kind, biz_data) = match subject {
        Subject::User => (
            Kind::UserUpdateInfo,
            json!({
                "userId": entity, "username": entity, "displayName": format!("n={number}"),
                "email": format!("{entity}@example.com"), "emailVerified": true, "phoneRegion": "86",
                "phoneNumber": "15500000000", "phoneNumberVerified": false, "status": "enabled",
                "userSourceType": "build_in", "userExternalId": entity, "updateTime": now.to_string(),
                "organizationalUnits": [{"organizationalUnitId": "ou_root", "organizationalUnitName": "R&D", "primary": true}],
                "description": description,
            }),
        ),
        Subject::Unit => (
            Kind::UnitUpdate,
            json!({
                "organizationalUnitId": entity, "organizationalUnitName": format!("n={number}"), "parentId": "ou_root",
                "organizationalUnitSourceType": "build_in", "updateTime": now.to_string(),
                "description": description,
            }),
        ),
    };
    Event {
        event_id: event_id.to_owned(),
        event_type: kind.urn(),
        biz_id: entity.to_owned(),
        biz_data,
        event_time: now,
        kind: Some(kind),
        given: None,
    }
}
