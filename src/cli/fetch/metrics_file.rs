//! The file with the metrics of a run, for the textfile collector of the Prometheus node exporter.

use std::ffi::OsString;
use std::path::Path;

use crate::fetch::summary::{ByEntity, Counts, Summary};
use crate::telemetry::fetch::FetchMetrics;

/// Replaces the file atomically, so that the collector never reads a part of it.
pub(super) fn write(path: &Path, summary: &Summary, is_successful: bool) -> Result<(), String> {
    let metrics = FetchMetrics::new(&summary.application, is_successful).map_err(|error| error.to_string())?;
    for entity in ByEntity::<Counts>::ENTITIES {
        let counts = summary.entities.get(entity).copied().unwrap_or_default();
        for (result, count) in [
            ("read", counts.read),
            ("published", counts.published),
            ("missing", counts.missing),
            ("deleted", counts.deleted),
            ("error", counts.errors),
        ] {
            metrics.show(entity.name(), result, count);
        }
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    std::fs::write(&beside, metrics.text()).and_then(|()| std::fs::rename(&beside, path)).map_err(|e| e.to_string())
}
