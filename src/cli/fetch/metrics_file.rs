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
            ("unclear", counts.unclear),
            ("error", counts.errors),
        ] {
            metrics.show(entity.name(), result, count);
        }
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    std::fs::write(&beside, metrics.text()).and_then(|()| std::fs::rename(&beside, path)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_of_a_missing_entity_is_a_sample() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fetch.prom");
        let mut summary = Summary { application: "workforce".to_owned(), ..Summary::default() };
        summary.entities.users = Counts { missing: 7, deleted: 4, unclear: 3, ..Counts::default() };
        write(&path, &summary, true).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for (result, count) in [("missing", 7), ("deleted", 4), ("unclear", 3), ("error", 0)] {
            let labels = format!("application=\"workforce\",entity=\"user\",result=\"{result}\"");
            let sample = format!("idaas_bridge_fetch_last_run_entities{{{labels}}} {count}\n");
            assert!(text.contains(&sample), "{sample}: {text}");
        }
    }
}
