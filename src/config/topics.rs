//! The section `[topics]`.

use super::given::Given;
use super::section::{Reading, Section};
use super::{EventMode, Topics, values};

pub(super) fn read(reading: &mut Reading<'_>, given: Option<Given>) -> Topics {
    let mut section = Section::open(reading, "topics", given);
    let topics = Topics {
        prefix: section.value("prefix", "idaas".to_owned(), values::topic_prefix),
        create: section.value("create", false, Given::boolean),
        partitions: section.value("partitions", 12, |given| values::between(given, 1..=10_000)),
        replication_factor: section.value("replication_factor", 3, |given| values::between(given, 1..=100)),
        event_mode: section.value("event_mode", EventMode::Binary, |given| {
            values::choice(given, &[("binary", EventMode::Binary), ("structured", EventMode::Structured)])
        }),
    };
    section.close();
    topics
}
