//! The section `[dedupe]`: the number of replicas, and whether they follow each other.

use super::Dedupe;
use super::raw_value::RawValue;
use super::table_reader::{Diagnostics, TableReader};
use super::values;

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> Dedupe {
    let mut section = TableReader::open(diagnostics, "dedupe", raw_value);
    let replicas = section.value("replicas", 1, |raw_value| values::between(raw_value, 1..=1000));
    // A single replica would only read its own records again.
    let follow_replicas = section.value("follow_replicas", replicas > 1, RawValue::boolean);
    section.close();
    Dedupe { replicas, follow_replicas }
}
