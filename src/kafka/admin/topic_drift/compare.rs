//! Compares topics with their plans. Pure.

use std::cmp::Ordering;
use std::time::Duration;

use super::{CLOCK_DIFFERENCE, Difference, OLDEST_TIMESTAMP};
use crate::kafka::admin::topics::{Cleanup, ExistingTopic, Settings, State, TopicSettings, WantedTopic};

/// A difference, and all topics that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The difference.
    pub difference: Difference,
    /// The topics' names.
    pub topics: Vec<&'a str>,
}

/// Returns the differences of all topics. A difference that several topics share is listed once.
#[must_use]
pub fn grouped<'a>(plan: &'a TopicSettings, states: &[State]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (wanted, state) in plan.topics.iter().zip(states) {
        for difference in differences(wanted, state) {
            match groups.iter_mut().find(|group| group.difference == difference) {
                Some(group) => group.topics.push(&wanted.name),
                None => groups.push(Group { difference, topics: vec![&wanted.name] }),
            }
        }
    }
    groups
}

/// Compares a topic with its plan.
#[must_use]
pub fn differences(wanted: &WantedTopic, state: &State) -> Vec<Difference> {
    match state {
        State::Missing => vec![Difference::Missing],
        State::Hidden => vec![Difference::Hidden],
        State::Unreadable(problem) => vec![Difference::Unreadable(problem.clone())],
        State::Present(present) => present_differences(wanted, present),
    }
}

fn present_differences(wanted: &WantedTopic, present: &ExistingTopic) -> Vec<Difference> {
    let mut differences = Vec::new();
    if present.leaderless > 0 {
        differences.push(Difference::NoLeader(present.leaderless));
    }
    differences.extend(partition_difference(wanted, present.partitions));
    if present.replication < wanted.replication {
        differences.push(Difference::Replication { wanted: wanted.replication, found: present.replication });
    } else if present.replication < 2 {
        differences.push(Difference::SingleReplica);
    }
    let settings = present.settings.as_ref().ok();
    if let Some(settings) = settings {
        settings_differences(wanted, present.replication, settings, &mut differences);
    }
    let needed = settings.and_then(|settings| settings.min_insync_replicas);
    let needed = needed.unwrap_or_else(|| wanted.min_insync_replicas());
    // If there are fewer replicas than that, another difference covers it.
    if let Some(in_sync) = present.in_sync.filter(|in_sync| *in_sync < needed && needed <= present.replication) {
        differences.push(Difference::NotInSync { in_sync, needed });
    }
    differences
}

fn partition_difference(topic: &WantedTopic, found: i32) -> Option<Difference> {
    let wanted = topic.partitions;
    match (&topic.partitions_of, found.cmp(&wanted)) {
        (_, Ordering::Equal) => None,
        (Some(events), Ordering::Less | Ordering::Greater) => {
            Some(Difference::StatePartitions { events: events.clone(), wanted, found })
        }
        (None, Ordering::Less) => Some(Difference::FewerPartitions { wanted, found }),
        (None, Ordering::Greater) => Some(Difference::MorePartitions { wanted, found }),
    }
}

fn settings_differences(
    wanted: &WantedTopic,
    replication: i32,
    settings: &Settings,
    differences: &mut Vec<Difference>,
) {
    if let Some(needed) = settings.min_insync_replicas {
        if needed > replication {
            differences.push(Difference::TooFewReplicas { needed, replication });
        } else if needed < wanted.min_insync_replicas() {
            differences.push(Difference::MinInsyncReplicas { found: needed });
        } else if needed == replication && replication > 1 {
            differences.push(Difference::NoSpareReplica { needed });
        }
    }
    cleanup_differences(wanted, settings, differences);
    if let Some(found) = settings.max_message_bytes.filter(|found| *found < wanted.max_message_bytes) {
        let wanted_bytes = wanted.max_message_bytes;
        differences.push(match wanted.cleanup {
            Cleanup::Delete => Difference::MessageSize { wanted: wanted_bytes, found },
            Cleanup::Compact => Difference::StateSize { wanted: wanted_bytes, found },
        });
    }
    let below =
        |limit: Duration| move |found: &i64| u128::try_from(*found).is_ok_and(|found| found < limit.as_millis());
    if let Some(found) = settings.timestamp_before_max_ms.filter(below(OLDEST_TIMESTAMP)) {
        differences.push(Difference::OldTimestamps { found });
    }
    if let Some(found) = settings.timestamp_after_max_ms.filter(below(CLOCK_DIFFERENCE)) {
        differences.push(Difference::FutureTimestamps { found });
    }
}

/// Compares the cleanup policy and the retention.
fn cleanup_differences(wanted: &WantedTopic, settings: &Settings, differences: &mut Vec<Difference>) {
    let policy = settings.cleanup_policy.as_deref();
    match wanted.cleanup {
        Cleanup::Delete => {
            if let Some(policy) = policy.filter(|policy| policy.contains("compact")) {
                differences.push(Difference::Compacted(policy.to_owned()));
            }
            let retention = |milliseconds: i64| if milliseconds < 0 { i64::MAX } else { milliseconds };
            if let Some(found) =
                settings.retention_ms.filter(|found| retention(*found) < retention(wanted.retention_ms()))
            {
                differences.push(Difference::Retention { wanted: wanted.retention_ms(), found });
            }
        }
        Cleanup::Compact => {
            if let Some(policy) = policy.filter(|policy| *policy != "compact") {
                differences.push(Difference::NotCompacted(policy.to_owned()));
            }
            let needed = i64::try_from(Cleanup::TOMBSTONES_KEPT.as_millis()).unwrap_or(i64::MAX);
            if let Some(found) = settings.delete_retention_ms.filter(|found| *found < needed) {
                differences.push(Difference::TombstoneRetention { found });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::admin::topic_drift::Severity;
    use crate::kafka::admin::topics::Unknown;
    use crate::kafka::admin::topics::tests::wanted;

    fn good() -> ExistingTopic {
        let settings = Settings {
            min_insync_replicas: Some(2),
            cleanup_policy: Some("delete".to_owned()),
            max_message_bytes: Some(1_048_588),
            retention_ms: Some(-1),
            delete_retention_ms: Some(86_400_000),
            timestamp_before_max_ms: Some(i64::MAX),
            timestamp_after_max_ms: Some(3_600_000),
        };
        ExistingTopic {
            partitions: 12,
            replication: 3,
            in_sync: Some(3),
            leaderless: 0,
            leaders: Vec::new(),
            settings: Ok(settings),
        }
    }

    fn codes(present: ExistingTopic) -> Vec<&'static str> {
        differences(&wanted(), &State::Present(present)).iter().map(Difference::code).collect()
    }

    #[test]
    fn a_topic_as_it_should_be_has_no_difference() {
        assert_eq!(differences(&wanted(), &State::Present(good())), []);
    }

    #[test]
    fn settings_that_are_not_known_are_no_difference() {
        assert_eq!(codes(ExistingTopic { settings: Err(Unknown::NotSupported), ..good() }), [""; 0]);
        assert_eq!(codes(ExistingTopic { settings: Ok(Settings::default()), ..good() }), [""; 0]);
    }

    #[test]
    fn each_departure_has_its_code() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = good().settings.unwrap();
            change(&mut settings);
            ExistingTopic { settings: Ok(settings), ..good() }
        };
        for (present, code) in [
            (ExistingTopic { partitions: 6, ..good() }, "topic_partitions"),
            (ExistingTopic { partitions: 24, ..good() }, "topic_partitions"),
            (ExistingTopic { leaderless: 1, ..good() }, "topic_without_leader"),
            (with(&|settings| settings.min_insync_replicas = Some(1)), "topic_min_insync_replicas"),
            (with(&|settings| settings.min_insync_replicas = Some(3)), "topic_min_insync_replicas"),
            (with(&|settings| settings.min_insync_replicas = Some(4)), "topic_min_insync_replicas"),
            (with(&|settings| settings.cleanup_policy = Some("compact,delete".to_owned())), "topic_compacted"),
            (with(&|settings| settings.max_message_bytes = Some(999_999)), "topic_max_message_bytes"),
            (ExistingTopic { in_sync: Some(1), ..good() }, "topic_not_in_sync"),
            (with(&|settings| settings.timestamp_before_max_ms = Some(3_600_000)), "topic_timestamps"),
            (with(&|settings| settings.timestamp_after_max_ms = Some(1_000)), "topic_timestamps"),
            (with(&|settings| settings.retention_ms = Some(604_800_000)), "topic_retention"),
        ] {
            assert_eq!(codes(present), [code]);
        }
        assert_eq!(
            codes(ExistingTopic { replication: 1, in_sync: Some(1), ..good() }),
            ["topic_replication", "topic_min_insync_replicas"]
        );
        assert_eq!(differences(&wanted(), &State::Missing), [Difference::Missing]);
    }

    #[test]
    fn a_state_topic_is_compacted_and_keeps_tombstones() {
        let wanted = WantedTopic { cleanup: Cleanup::Compact, ..wanted() };
        let codes = |policy: &str, delete_retention_ms| {
            let settings = Settings {
                cleanup_policy: Some(policy.to_owned()),
                delete_retention_ms: Some(delete_retention_ms),
                retention_ms: Some(1),
                ..good().settings.unwrap()
            };
            let state = State::Present(ExistingTopic { settings: Ok(settings), ..good() });
            differences(&wanted, &state).iter().map(Difference::code).collect::<Vec<_>>()
        };
        assert_eq!(codes("compact", 604_800_000), [""; 0]);
        assert_eq!(codes("delete", 604_800_000), ["topic_not_compacted"]);
        assert_eq!(codes("compact,delete", 86_400_000), ["topic_not_compacted", "topic_tombstone_retention"]);
    }

    #[test]
    fn a_state_topic_must_have_the_partitions_of_its_event_topic() {
        let wanted = WantedTopic { partitions_of: Some("idaas.user.v1".to_owned()), ..wanted() };
        let found = |partitions| {
            let state = State::Present(ExistingTopic { partitions, settings: Err(Unknown::NotSupported), ..good() });
            differences(&wanted, &state)
        };
        assert_eq!(found(12), []);
        for partitions in [6, 24] {
            let [difference] = &found(partitions)[..] else { panic!("{partitions}") };
            assert_eq!((difference.code(), difference.severity()), ("topic_state_partitions", Severity::Wrong));
            assert!(difference.to_string().contains("its event topic idaas.user.v1 has 12"), "{difference}");
        }
    }

    #[test]
    fn one_replica_on_purpose_is_only_notable() {
        let wanted = WantedTopic { replication: 1, ..wanted() };
        let settings = Settings { min_insync_replicas: Some(1), ..Settings::default() };
        let present = ExistingTopic { replication: 1, in_sync: Some(1), settings: Ok(settings), ..good() };
        let found = differences(&wanted, &State::Present(present));
        assert_eq!(found, [Difference::SingleReplica]);
        assert!(found.iter().all(|difference| difference.severity() == Severity::Notable));
    }

    #[test]
    fn limits_that_the_bridge_never_reaches_are_fine() {
        let settings = Settings {
            timestamp_before_max_ms: Some(i64::try_from(OLDEST_TIMESTAMP.as_millis()).unwrap()),
            timestamp_after_max_ms: Some(60_000),
            retention_ms: Some(wanted().retention_ms()),
            ..good().settings.unwrap()
        };
        assert_eq!(codes(ExistingTopic { settings: Ok(settings), ..good() }), [""; 0]);
    }

    #[test]
    fn without_limit_every_retention_is_shorter() {
        let settings = Settings { retention_ms: Some(i64::MAX - 1), ..good().settings.unwrap() };
        let state = State::Present(ExistingTopic { settings: Ok(settings), ..good() });
        let unlimited = WantedTopic { retention: None, ..wanted() };
        assert_eq!(differences(&unlimited, &state), [Difference::Retention { wanted: -1, found: i64::MAX - 1 }]);
    }

    #[test]
    fn topics_with_the_same_difference_form_one_group() {
        let plan = TopicSettings {
            topics: ["a", "b", "c"].map(|name| WantedTopic { name: name.to_owned(), ..wanted() }).to_vec(),
        };
        let states = [State::Missing, State::Present(good()), State::Missing];
        let groups = grouped(&plan, &states);
        assert_eq!(groups, [Group { difference: Difference::Missing, topics: vec!["a", "c"] }]);
    }
}
