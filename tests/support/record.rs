//! Reads a Kafka record as a CloudEvent: the Kafka protocol binding's binary and structured content modes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::rules;

/// A CloudEvent, whichever mode it came in.
pub(crate) struct Record {
    /// The context attributes by their names without `ce_`.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The event's data.
    pub(crate) data: Value,
    /// Whether it came in structured mode: `data` is then a member of the value, else the whole of it.
    pub(crate) structured: bool,
}

/// Reads a record; the mode is what `content-type` says.
///
/// # Errors
/// What keeps it from being a CloudEvent with JSON data, in words.
pub(crate) fn read(headers: &[(String, Vec<u8>)], value: &[u8]) -> Result<Record, Vec<String>> {
    let mut faults = Vec::new();
    let (mut content_type, mut traceparent) = (None, None);
    let mut attributes = BTreeMap::new();
    for (name, bytes) in headers {
        let Ok(text) = String::from_utf8(bytes.clone()) else {
            faults.push(format!("header {name}: not UTF-8"));
            continue;
        };
        let twin = match name.strip_prefix("ce_") {
            Some(attribute) => attributes.insert(attribute.to_owned(), text),
            None if name == "content-type" => content_type.replace(text),
            // The span of the record, for those that trace.
            None if name == "traceparent" && rules::is_traceparent(&text) => traceparent.replace(text),
            None => {
                faults.push(format!("header {name}: not of the contract"));
                None
            }
        };
        if twin.is_some() {
            faults.push(format!("header {name}: twice"));
        }
    }
    let data =
        serde_json::from_slice(value).map_err(|error| faults.push(format!("value: {error}"))).unwrap_or_default();
    let mut record = Record { attributes, data, structured: false };
    match content_type.as_deref() {
        Some("application/json") => {}
        Some(other) if is_structured(other) => open_envelope(&mut record, &mut faults),
        other => faults.push(format!("content-type is {other:?}")),
    }
    if faults.is_empty() { Ok(record) } else { Err(faults) }
}

fn is_structured(content_type: &str) -> bool {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, "charset=utf-8"));
    media_type == "application/cloudevents+json" && parameters.trim().eq_ignore_ascii_case("charset=utf-8")
}

/// Takes the attributes and the data out of the value. Headers with attributes may stand beside it, and must agree.
fn open_envelope(record: &mut Record, faults: &mut Vec<String>) {
    record.structured = true;
    let Value::Object(envelope) = record.data.take() else {
        faults.push("value: no CloudEvents envelope".to_owned());
        return;
    };
    let headers = std::mem::take(&mut record.attributes);
    for (name, value) in envelope {
        match (name.as_str(), value) {
            ("data", data) => record.data = data,
            ("datacontenttype", Value::String(text)) if text == "application/json" => {}
            (_, Value::String(text)) => {
                record.attributes.insert(name, text);
            }
            (_, value) => faults.push(format!("value at /{name}: {value} is not text")),
        }
    }
    for (name, text) in headers {
        if record.attributes.get(&name) != Some(&text) {
            faults.push(format!("header ce_{name} differs from the envelope"));
        }
    }
}
