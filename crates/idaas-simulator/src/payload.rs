//! Serializes events to the payload, which is then encrypted, or sent as `plainData`.

use serde_json::{Map, Number, Value, json};

use super::events::Event;
use super::tenant_keys::Identity;

/// The form of events. IDaaS sends one and documents the other; a receiver must accept both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// As on the wire: `eventData` and `bizData` are JSON texts inside JSON, times and `aliUid` are strings.
    #[default]
    Wire,
    /// As in IDaaS's documentation: an array, objects, numbers.
    Documented,
}

/// Returns an event as an element of `eventData`. An event that was not generated is unchanged.
#[must_use]
pub fn event_value(event: &Event, form: Form) -> Value {
    if let Some(given) = &event.given {
        return given.clone();
    }
    let (biz_data, event_time) = match form {
        Form::Wire => (Value::String(event.biz_data.to_string()), Value::String(event.event_time.to_string())),
        Form::Documented => (with_numeric_times(&event.biz_data), Value::from(event.event_time)),
    };
    json!({
        "eventId": event.event_id, "eventTime": event_time, "bizId": event.biz_id, "bizData": biz_data,
        "eventType": event.event_type,
    })
}

/// Returns the payload with `items`, which need not be events: tests can send anything.
#[must_use]
pub fn payload(items: &[Value], identity: &Identity, form: Form) -> Value {
    let (event_data, ali_uid) = match form {
        Form::Wire => (Value::String(Value::from(items).to_string()), Value::String(identity.ali_uid.to_string())),
        Form::Documented => (Value::from(items), Value::from(identity.ali_uid)),
    };
    json!({
        "instanceId": identity.instance_id, "aliUid": ali_uid, "eventVersion": "V1.0", "eventData": event_data,
    })
}

/// Returns a copy in which every member `…Time` with digits is a number.
fn with_numeric_times(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let convert = |(name, value): (&String, &Value)| {
                let number = value.as_str().filter(|_| name.ends_with("Time")).and_then(|text| text.parse().ok());
                let value = number.map_or_else(|| with_numeric_times(value), |n: i64| Value::Number(Number::from(n)));
                (name.clone(), value)
            };
            Value::Object(members.iter().map(convert).collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(with_numeric_times).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Generator;
    use crate::kind::Kind;

    fn written(form: Form) -> (Event, Value) {
        let event = Generator::new(1).event(&Kind::UserCreate.into(), 4, 1_648_625_692_578);
        let identity = Identity::generate();
        let payload = payload(&[event_value(&event, form)], &identity, form);
        (event, payload)
    }

    #[test]
    fn on_the_wire_data_is_text_within_text_and_times_are_strings() {
        let (event, payload) = written(Form::Wire);
        assert!(payload["aliUid"].is_string());
        let items: Value = serde_json::from_str(payload["eventData"].as_str().unwrap()).unwrap();
        assert_eq!(items[0]["eventTime"], "1648625692578");
        let biz_data: Value = serde_json::from_str(items[0]["bizData"].as_str().unwrap()).unwrap();
        assert_eq!(biz_data, event.biz_data);
        assert_eq!(biz_data["lockExpireTime"], "-1");
    }

    #[test]
    fn documented_form_has_structured_data_and_numeric_times() {
        let (_, payload) = written(Form::Documented);
        assert!(payload["aliUid"].is_u64());
        let item = &payload["eventData"][0];
        assert_eq!(item["eventTime"], 1_648_625_692_578_i64);
        assert_eq!(item["bizData"]["lockExpireTime"], -1);
        assert!(item["bizData"]["username"].is_string());
    }
}
