//! Formats a record as one line: as text without the values of its fields, or as complete JSON.

use idaas_callback::timestamp::rfc3339;
use serde_json::{Map, Value, json};

use crate::kafka::history::tail::TopicRecord;
use crate::terminal::{BAD, GOOD, NEUTRAL, PLAIN, QUIET, SECTION, Style, WARNING, cut, styled};

/// Common prefix of every `ce_type`.
const TYPE: &str = "com.alibabacloud.idaas.";

/// Formats a record as text: position, event and names of fields, but no values. With `width`, returns at most that
/// many columns, with the most useful first.
pub(in crate::cli) fn line(seen: &TopicRecord, width: Option<usize>) -> String {
    let time = seen.timestamp.and_then(rfc3339).unwrap_or_else(|| "-".to_owned());
    if let Some(width) = width {
        return cut(&compact(seen, &time), width);
    }
    let position = format!("{}/{}@{}", seen.topic, seen.partition, seen.offset);
    let Some(event) = Event::read(seen) else {
        return format!("{}  {}  {position}", styled(QUIET, time), styled(BAD, "not a record of this bridge"));
    };
    let kind = format!("{:<26}", event.kind);
    format!(
        "{}  {}  {}  {}  {}  {}",
        styled(QUIET, time),
        styled(color(&event.kind), kind),
        event.subject.as_deref().unwrap_or("-"),
        event.id,
        styled(QUIET, position),
        summary(&event.data)
    )
    .trim_end()
    .to_owned()
}

/// Returns the parts of a compact line, with their styles. Omits the date, which a viewer knows, and the topic, which
/// follows from the entity.
fn compact(seen: &TopicRecord, time: &str) -> Vec<(Style, String)> {
    let time = time.split(['T', 'Z']).nth(1).unwrap_or(time).to_owned();
    let position = format!("{}@{}", seen.partition, seen.offset);
    let Some(event) = Event::read(seen) else {
        let position = format!("{}/{position}", seen.topic);
        return vec![(QUIET, time), (BAD, "not a record of this bridge".to_owned()), (PLAIN, position)];
    };
    vec![
        (QUIET, time),
        (color(&event.kind), format!("{:<20}", event.kind)),
        (PLAIN, format!("{:<31}", event.subject.as_deref().unwrap_or("-"))),
        (QUIET, format!("{position:<8}")),
        (PLAIN, event.id),
        (PLAIN, summary(&event.data)),
    ]
}

/// Converts a record to a JSON object.
pub(in crate::cli) fn json(seen: &TopicRecord) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Map<_, _> = seen.headers.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
    let value = match seen.value.as_slice() {
        [] => Value::Null,
        value => serde_json::from_slice(value).unwrap_or_else(|_| Value::from(text(value))),
    };
    json!({
        "topic": seen.topic,
        "partition": seen.partition,
        "offset": seen.offset,
        "timestamp": seen.timestamp.and_then(rfc3339),
        "key": seen.key.as_deref().map(text),
        "headers": headers,
        "value": value,
    })
}

/// Returns the id of the event, if this service has published the record.
pub(in crate::cli) fn event_id(seen: &TopicRecord) -> Option<String> {
    Event::read(seen).map(|event| event.id)
}

/// Returns the data of the event, if this service has published the record.
pub(in crate::cli) fn data(seen: &TopicRecord) -> Option<Value> {
    Event::read(seen).map(|event| event.data)
}

/// The displayed parts of a CloudEvent in structured or binary mode.
struct Event {
    id: String,
    /// `entity.action`.
    kind: String,
    subject: Option<String>,
    data: Value,
}

impl Event {
    fn read(seen: &TopicRecord) -> Option<Self> {
        let mut value: Value = match seen.value.as_slice() {
            // A tombstone has only headers.
            [] => Value::Null,
            value => serde_json::from_slice(value).ok()?,
        };
        let structured =
            seen.header("content-type").is_some_and(|kind| kind.starts_with("application/cloudevents+json"));
        let attribute = |name: &str| {
            let value =
                if structured { value.get(name).and_then(Value::as_str) } else { seen.header(&format!("ce_{name}")) };
            value.map(str::to_owned)
        };
        let kind = attribute("type")?;
        let kind = kind.strip_prefix(TYPE).unwrap_or(&kind);
        let kind = kind.rsplit_once(".v").map_or(kind, |(kind, _)| kind).to_owned();
        let (id, subject) = (attribute("id")?, attribute("subject"));
        let data = if structured { value.get_mut("data").map(Value::take)? } else { value };
        Some(Self { id, kind, subject, data })
    }
}

/// Returns the names of the fields, the lengths of lists, and the reason of a dead letter.
fn summary(data: &Value) -> String {
    if data.is_null() {
        return "deleted (tombstone)".to_owned();
    }
    let mut parts = Vec::new();
    for entity in ["user", "organizationalUnit", "group"] {
        for (name, value) in data.get(entity).and_then(Value::as_object).into_iter().flatten() {
            match value {
                _ if name == "id" => {}
                Value::Array(elements) => parts.push(format!("{name}[{}]", elements.len())),
                Value::Null => parts.push(format!("{name}=null")),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => parts.push(name.clone()),
            }
        }
    }
    if let Some(additional) = data.get("additional").and_then(Value::as_object) {
        parts.extend(additional.keys().map(|name| format!("+{name}")));
    }
    if let Some(action) = data.pointer("/state/lastAction").and_then(Value::as_str) {
        parts.push(format!("({action})"));
    }
    if let Some(reason) = data.get("reason").and_then(Value::as_str) {
        parts.push(reason.to_owned());
    }
    let known = data.get("user").or(data.get("organizationalUnit")).or(data.get("group")).is_some();
    if let Some(kind) = data.pointer("/origin/eventType").and_then(Value::as_str).filter(|_| !known) {
        parts.push(kind.to_owned());
    }
    parts.join(" ")
}

fn color(kind: &str) -> Style {
    match kind.rsplit('.').next().unwrap_or_default() {
        "created" | "enabled" | "unlocked" | "member_added" => GOOD,
        "deleted" | "refused" => BAD,
        "disabled" | "locked" | "member_removed" | "unknown" => WARNING,
        "tested" => SECTION,
        _ => NEUTRAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{width, without_styles};

    fn seen(headers: &[(&str, &str)], value: &Value) -> TopicRecord {
        TopicRecord {
            topic: "idaas.user.v1".to_owned(),
            partition: 3,
            offset: 42,
            timestamp: Some(1_648_625_692_578),
            key: Some(b"user_a".to_vec()),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            value: value.to_string().into_bytes(),
        }
    }

    fn plain(seen: &TopicRecord) -> String {
        without_styles(&line(seen, None))
    }

    fn data() -> Value {
        json!({"user": {"id": "user_a", "username": "zhangsan", "description": null, "organizationalUnits": [{}, {}]},
               "additional": {"odd": "secret"}, "origin": {"eventType": "urn:x"}})
    }

    #[test]
    fn a_line_names_the_fields_and_none_of_their_values() {
        let headers = [
            ("content-type", "application/json"),
            ("ce_id", "evnt_1"),
            ("ce_type", "com.alibabacloud.idaas.user.updated.v1"),
            ("ce_subject", "user_a"),
        ];
        let line = plain(&seen(&headers, &data()));
        for part in ["2022-03-30T07:34:52.578Z", "user.updated", "user_a", "evnt_1", "idaas.user.v1/3@42", "username"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        for part in ["description=null", "organizationalUnits[2]", "+odd"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("zhangsan") && !line.contains("secret"), "{line}");
    }

    #[test]
    fn on_a_terminal_a_line_fits_and_still_names_the_event() {
        let subject = format!("user_{}", "d".repeat(26));
        let id = format!("evnt_{}", "i".repeat(34));
        let headers = [("ce_id", id.as_str()), ("ce_type", "com.alibabacloud.idaas.user.password_changed.v1")];
        let seen = seen(&[headers[0], headers[1], ("ce_subject", &subject)], &data());
        for columns in [40, 80, 120, 200] {
            let line = without_styles(&line(&seen, Some(columns)));
            assert!(width(&line) <= columns, "{columns}: {line}");
            assert_eq!(line.contains(&id), columns >= 120, "{columns}: {line}");
            assert!(line.starts_with("07:34:52.578  "), "{line}");
        }
    }

    #[test]
    fn a_state_names_its_last_action_and_a_tombstone_the_deletion() {
        let headers = [("ce_id", "evnt_1"), ("ce_type", "com.alibabacloud.idaas.user.state.v1"), ("ce_subject", "u")];
        let mut state = data();
        state["state"] = json!({"lastAction": "updated"});
        let mut record = seen(&headers, &state);
        let shown = plain(&record);
        assert!(shown.contains("user.state") && shown.contains("username") && shown.ends_with("(updated)"), "{shown}");
        record.value.clear();
        let shown = plain(&record);
        assert!(shown.contains("user.state") && shown.ends_with("deleted (tombstone)"), "{shown}");
        assert_eq!(json(&record)["value"], Value::Null);
    }

    #[test]
    fn a_structured_record_reads_as_a_binary_one() {
        let value = json!({"id": "evnt_1", "type": "com.alibabacloud.idaas.user.updated.v1", "subject": "user_a", "data": data()});
        let line = plain(&seen(&[("content-type", "application/cloudevents+json; charset=UTF-8")], &value));
        assert!(line.contains("user.updated") && line.contains("username"), "{line}");
    }

    #[test]
    fn other_records_are_labelled_as_not_cloudevents() {
        let mut odd = seen(&[], &json!({}));
        assert!(plain(&odd).contains("not a record of this bridge"));
        odd.value = b"\xff".to_vec();
        assert!(plain(&odd).contains("not a record of this bridge"));
        assert!(json(&odd)["value"].is_string());
    }

    #[test]
    fn a_dead_letter_shows_its_reason() {
        let headers = [("ce_id", "e"), ("ce_type", "com.alibabacloud.idaas.dead-letter.refused.v1")];
        let line =
            plain(&seen(&headers, &json!({"reason": "malformed_data", "original": {"a": "secret"}, "origin": {}})));
        assert!(line.contains("dead-letter.refused") && line.contains("malformed_data"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
}
