//! The section `[topics]`.

use std::time::Duration;

use idaas_callback::policy::EventMode;

use super::raw_value::{Raw, RawValue};
use super::table_reader::{Diagnostics, TableReader};
use super::{Topics, values};
use crate::diagnosis::{Diagnosis, misconfigured};

/// Default retention.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// Minimum retention: the dedup cache is rebuilt from the last ten minutes of the topics, with a margin.
const MIN_RETENTION: Duration = Duration::from_secs(3_600);
/// The longest retention: Kafka counts milliseconds in 63 bits, and more than a century is a mistake.
const MAX_RETENTION: Duration = Duration::from_secs(100 * 366 * 86_400);

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> Topics {
    let mut section = TableReader::open(diagnostics, "topics", raw_value);
    let topics = Topics {
        prefix: section.value("prefix", "idaas".to_owned(), values::topic_prefix),
        create: section.value("create", false, RawValue::boolean),
        partitions: section.value("partitions", 12, |raw_value| values::between(raw_value, 1..=10_000)),
        replication_factor: section.value("replication_factor", 3, |raw_value| values::between(raw_value, 1..=100)),
        retention: section.value("retention", Some(RETENTION), retention),
        event_mode: section.value("event_mode", EventMode::Binary, values::choice),
    };
    section.close();
    topics
}

/// Reads a duration, or `"unlimited"`.
fn retention(raw_value: &RawValue) -> Result<Option<Duration>, Diagnosis> {
    let example = "write a number and a unit, for example \"30d\" or \"1y\", or \"unlimited\"";
    if let Raw::Plain(toml::Value::Integer(_) | toml::Value::Float(_)) = raw_value.raw {
        return Err(misconfigured("has no unit", example));
    }
    if raw_value.text()? == "unlimited" {
        return Ok(None);
    }
    let duration = values::duration(raw_value).map_err(|Diagnosis { problem, .. }| misconfigured(problem, example))?;
    if duration < MIN_RETENTION || duration > MAX_RETENTION {
        let problem = format!("{:?} is out of range", raw_value.text()?);
        return Err(misconfigured(problem, "set it between \"1h\" and \"100y\", or to \"unlimited\""));
    }
    Ok(Some(duration))
}
