//! A payload as a tree: what an application without special demands does.

use serde_json::Value;
use sonic_rs::{JsonContainerTrait as _, JsonValueTrait as _};

/// The lengths of all names and texts, as `walk::payload` counts them.
pub(crate) fn serde_json(payload: &str) -> Option<usize> {
    fn length(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(elements) => elements.iter().filter(|element| element.is_object()).map(members).sum(),
            _ => 0,
        }
    }
    fn members(object: &Value) -> usize {
        let member = |(name, value): (&String, &Value)| {
            name.len() + if ["eventData", "bizData"].contains(&name.as_str()) { 0 } else { length(value) }
        };
        object.as_object().into_iter().flatten().map(member).sum()
    }
    let frame: Value = serde_json::from_str(payload).ok()?;
    let events: Vec<Value> = serde_json::from_str(frame.get("eventData")?.as_str()?).ok()?;
    let mut sum = members(&frame);
    for event in &events {
        let data: Value = serde_json::from_str(event.get("bizData")?.as_str()?).ok()?;
        sum += members(event) + members(&data);
    }
    Some(sum)
}

/// The same by `sonic_rs::Value`.
pub(crate) fn sonic_rs(payload: &str) -> Option<usize> {
    fn length(value: &sonic_rs::Value) -> usize {
        match (value.as_str(), value.as_array()) {
            (Some(text), _) => text.len(),
            (None, Some(elements)) => elements.iter().filter(|element| element.is_object()).map(members).sum(),
            (None, None) => 0,
        }
    }
    fn members(object: &sonic_rs::Value) -> usize {
        let member = |(name, value): (&str, &sonic_rs::Value)| {
            name.len() + if ["eventData", "bizData"].contains(&name) { 0 } else { length(value) }
        };
        object.as_object().map_or(0, |object| object.iter().map(member).sum())
    }
    let frame: sonic_rs::Value = sonic_rs::from_str(payload).ok()?;
    let events: sonic_rs::Value = sonic_rs::from_str(frame.get("eventData")?.as_str()?).ok()?;
    let mut sum = members(&frame);
    for event in events.as_array()?.iter() {
        let data: sonic_rs::Value = sonic_rs::from_str(event.get("bizData")?.as_str()?).ok()?;
        sum += members(event) + members(&data);
    }
    Some(sum)
}
