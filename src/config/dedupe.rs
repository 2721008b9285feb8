//! The section `[dedupe]`: how many replicas there are, and whether each learns what the others have confirmed.

use super::Dedupe;
use super::given::Given;
use super::section::{Reading, Section};
use super::values;

pub(super) fn read(reading: &mut Reading<'_>, given: Option<Given>) -> Dedupe {
    let mut section = Section::open(reading, "dedupe", given);
    let replicas = section.value("replicas", 1, |given| values::between(given, 1..=1000));
    // Alone there is nobody to learn from, and reading everything that one has just written costs for nothing.
    let follow_replicas = section.value("follow_replicas", replicas > 1, Given::boolean);
    section.close();
    Dedupe { replicas, follow_replicas }
}
