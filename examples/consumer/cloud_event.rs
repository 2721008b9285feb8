//! A Kafka record as a CloudEvent, in binary or structured mode.
//!
//! By hand, because the official SDK (`cloudevents-sdk` 0.9) is bound to another version of `rdkafka` than this project, and
//! one program cannot hold two of them.

use std::error::Error;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One event. Its identity is `source` and `id` together: the same id can be sent to several applications.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CloudEvent {
    /// `ce_source`.
    pub(crate) source: String,
    /// `ce_id`.
    pub(crate) id: String,
    /// `ce_time`, or the record's timestamp if there is none, in milliseconds since 1970.
    pub(crate) time: i64,
    /// The event's data: what the schema describes.
    pub(crate) data: Value,
}

impl CloudEvent {
    /// Reads a record by its headers, its value and its timestamp.
    ///
    /// # Errors
    /// If the record is not a CloudEvent with JSON data.
    pub(crate) fn read<'a>(
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
        timestamp: i64,
    ) -> Result<Self, Box<dyn Error>> {
        let mut attributes = serde_json::Map::new();
        for (name, value) in headers {
            attributes.insert(name.to_ascii_lowercase(), String::from_utf8(value.to_vec())?.into());
        }
        let content_type = attributes.get("content-type").and_then(Value::as_str).unwrap_or_default();
        let structured = content_type.to_ascii_lowercase().starts_with("application/cloudevents+json");
        let mut value: Value = serde_json::from_slice(value)?;
        let (attributes, prefix, data) = if structured {
            let data = value.get_mut("data").map(Value::take).ok_or("no data")?;
            (value.as_object().cloned().unwrap_or_default(), "", data)
        } else {
            (attributes, "ce_", value)
        };
        let attribute = |name: &str| attributes.get(&format!("{prefix}{name}")).and_then(Value::as_str);
        let time = match attribute("time") {
            Some(time) => i64::try_from(OffsetDateTime::parse(time, &Rfc3339)?.unix_timestamp_nanos() / 1_000_000)?,
            None => timestamp,
        };
        let (source, id) = (attribute("source").ok_or("no source")?, attribute("id").ok_or("no id")?);
        Ok(Self { source: source.to_owned(), id: id.to_owned(), time, data })
    }
}
