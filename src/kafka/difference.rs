//! How a topic differs from what it should be, how bad that is, and what to do. Pure.
//!
//! What is not known is never a difference: a cluster that keeps its settings to itself may still be right.

use std::fmt;

use super::topics::{Present, Settings, State, Wanted};

/// How bad a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and is likely not meant.
    Notable,
    /// A promise is not kept, or records are not taken.
    Wrong,
}

/// One difference between what a topic should be and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Missing,
    /// It cannot be seen.
    Hidden,
    /// The broker tells an error instead.
    Unreadable(String),
    /// That many partitions have no leader.
    NoLeader(usize),
    /// Fewer partitions than configured.
    FewerPartitions {
        /// As configured.
        wanted: i32,
        /// As they are.
        found: i32,
    },
    /// More partitions than configured.
    MorePartitions {
        /// As configured.
        wanted: i32,
        /// As they are.
        found: i32,
    },
    /// Fewer replicas than configured.
    Replication {
        /// As configured.
        wanted: i32,
        /// As they are.
        found: i32,
    },
    /// A record counts as confirmed when only one broker has it.
    MinInsyncReplicas {
        /// As it is.
        found: i32,
    },
    /// There is one replica, on purpose: the broker's loss loses events.
    SingleReplica,
    /// More replicas must have a record than there are.
    NeverInsync {
        /// `min.insync.replicas`.
        needed: i32,
        /// The replicas.
        replication: i32,
    },
    /// All replicas must have a record, so the absence of one broker stops everything.
    NoSpareReplica {
        /// `min.insync.replicas`.
        needed: i32,
    },
    /// Old events are dropped when newer ones of the entity come.
    Compacted(String),
    /// The topic takes smaller records than are published.
    MessageSize {
        /// What is published, in bytes.
        wanted: usize,
        /// What the topic takes, in bytes.
        found: usize,
    },
}

/// Compares.
#[must_use]
pub fn differences(wanted: &Wanted, state: &State) -> Vec<Difference> {
    match state {
        State::Missing => vec![Difference::Missing],
        State::Hidden => vec![Difference::Hidden],
        State::Unreadable(words) => vec![Difference::Unreadable(words.clone())],
        State::Present(present) => present_differences(wanted, present),
    }
}

fn present_differences(wanted: &Wanted, present: &Present) -> Vec<Difference> {
    let mut differences = Vec::new();
    if present.leaderless > 0 {
        differences.push(Difference::NoLeader(present.leaderless));
    }
    let partitions = (wanted.partitions, present.partitions);
    match partitions.1.cmp(&partitions.0) {
        std::cmp::Ordering::Less => {
            differences.push(Difference::FewerPartitions { wanted: partitions.0, found: partitions.1 });
        }
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => {
            differences.push(Difference::MorePartitions { wanted: partitions.0, found: partitions.1 });
        }
    }
    if present.replication < wanted.replication {
        differences.push(Difference::Replication { wanted: wanted.replication, found: present.replication });
    } else if present.replication < 2 {
        differences.push(Difference::SingleReplica);
    }
    if let Ok(settings) = &present.settings {
        settings_differences(wanted, present.replication, settings, &mut differences);
    }
    differences
}

fn settings_differences(wanted: &Wanted, replication: i32, settings: &Settings, differences: &mut Vec<Difference>) {
    if let Some(needed) = settings.min_insync_replicas {
        if needed > replication {
            differences.push(Difference::NeverInsync { needed, replication });
        } else if needed < wanted.min_insync_replicas() {
            differences.push(Difference::MinInsyncReplicas { found: needed });
        } else if needed == replication && replication > 1 {
            differences.push(Difference::NoSpareReplica { needed });
        }
    }
    if let Some(policy) = settings.cleanup_policy.as_deref().filter(|policy| policy.contains("compact")) {
        differences.push(Difference::Compacted(policy.to_owned()));
    }
    if let Some(found) = settings.max_message_bytes.filter(|found| *found < wanted.max_message_bytes) {
        differences.push(Difference::MessageSize { wanted: wanted.max_message_bytes, found });
    }
}

impl Difference {
    /// The stable code, for log lines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "topic_missing",
            Self::Hidden => "topic_hidden",
            Self::Unreadable(_) => "topic_unreadable",
            Self::NoLeader(_) => "topic_without_leader",
            Self::FewerPartitions { .. } | Self::MorePartitions { .. } => "topic_partitions",
            Self::Replication { .. } | Self::SingleReplica => "topic_replication",
            Self::MinInsyncReplicas { .. } | Self::NeverInsync { .. } | Self::NoSpareReplica { .. } => {
                "topic_min_insync_replicas"
            }
            Self::Compacted(_) => "topic_compacted",
            Self::MessageSize { .. } => "topic_max_message_bytes",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::MorePartitions { .. } | Self::SingleReplica | Self::NoSpareReplica { .. } => Severity::Notable,
            Self::Missing
            | Self::Hidden
            | Self::Unreadable(_)
            | Self::NoLeader(_)
            | Self::FewerPartitions { .. }
            | Self::Replication { .. }
            | Self::MinInsyncReplicas { .. }
            | Self::NeverInsync { .. }
            | Self::Compacted(_)
            | Self::MessageSize { .. } => Severity::Wrong,
        }
    }

    /// What to do about it. `configuration` is the path of the file, for the command that creates topics.
    #[must_use]
    pub fn remedy(&self, topic: &str, configuration: &str) -> String {
        let alter = |setting: String| {
            format!("kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {setting}")
        };
        match self {
            Self::Missing => format!("create it: idaas-bridge topics --config {configuration} --create"),
            Self::Hidden => {
                format!("give the user of [kafka.properties] DESCRIBE, DESCRIBE_CONFIGS and WRITE on topic {topic}")
            }
            Self::Unreadable(_) | Self::NoLeader(_) => {
                "see to the brokers: their logs say which of them is away".to_owned()
            }
            Self::FewerPartitions { wanted, found } => format!(
                "set topics.partitions = {found}, or raise them (entities then change their partition once): \
                 kafka-topics.sh --alter --topic {topic} --partitions {wanted}"
            ),
            Self::MorePartitions { found, .. } => format!("set topics.partitions = {found}"),
            Self::Replication { wanted, found } => format!(
                "add replicas with kafka-reassign-partitions.sh until there are {wanted}, or set \
                 topics.replication_factor = {found} where that is meant"
            ),
            Self::SingleReplica => {
                "use three brokers, three replicas and min.insync.replicas = 2 for production".to_owned()
            }
            Self::MinInsyncReplicas { .. } => alter("min.insync.replicas=2".to_owned()),
            Self::NeverInsync { replication, .. } => {
                format!("{}, or add replicas", alter(format!("min.insync.replicas={}", (*replication).clamp(1, 2))))
            }
            Self::NoSpareReplica { .. } => {
                "have one replica more than min.insync.replicas (kafka-reassign-partitions.sh)".to_owned()
            }
            Self::Compacted(_) => alter("cleanup.policy=delete".to_owned()),
            Self::MessageSize { wanted, found } => format!(
                "{}, or set \"message.max.bytes\" = {found} in [kafka.properties]",
                alter(format!("max.message.bytes={wanted}"))
            ),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing, so no record of it can be confirmed"),
            Self::Hidden => f.write_str("may not be seen by this user, and so not be written to"),
            Self::Unreadable(words) => write!(f, "cannot be read ({words})"),
            Self::NoLeader(count) => write!(f, "has {count} partitions without a leader, which take no record"),
            Self::FewerPartitions { wanted, found } | Self::MorePartitions { wanted, found } => {
                write!(f, "has {found} partitions, and topics.partitions is {wanted}")
            }
            Self::Replication { wanted, found } => {
                write!(f, "has replication factor {found}, and topics.replication_factor is {wanted}")
            }
            Self::SingleReplica => f.write_str("has one replica: the loss of a broker loses its events"),
            Self::MinInsyncReplicas { found } => write!(
                f,
                "has min.insync.replicas = {found}: a record is confirmed that the loss of one broker can lose"
            ),
            Self::NeverInsync { needed, replication } => {
                write!(f, "has min.insync.replicas = {needed} and replication factor {replication}, so takes no record")
            }
            Self::NoSpareReplica { needed } => {
                write!(f, "needs all of its {needed} replicas: while one broker is away it takes no record")
            }
            Self::Compacted(policy) => {
                write!(f, "has cleanup.policy = {policy}: compaction drops all but the last event of an entity")
            }
            Self::MessageSize { wanted, found } => {
                write!(f, "has max.message.bytes = {found}, and records of up to {wanted} bytes are published")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topics::tests::wanted;

    fn good() -> Present {
        let settings = Settings {
            min_insync_replicas: Some(2),
            cleanup_policy: Some("delete".to_owned()),
            max_message_bytes: Some(1_048_588),
        };
        Present { partitions: 12, replication: 3, leaderless: 0, settings: Ok(settings) }
    }

    fn codes(present: Present) -> Vec<&'static str> {
        differences(&wanted(), &State::Present(present)).iter().map(Difference::code).collect()
    }

    #[test]
    fn a_topic_as_it_should_be_has_no_difference() {
        assert_eq!(differences(&wanted(), &State::Present(good())), []);
    }

    #[test]
    fn settings_that_are_not_known_are_no_difference() {
        assert_eq!(codes(Present { settings: Err("not supported".to_owned()), ..good() }), [""; 0]);
        assert_eq!(codes(Present { settings: Ok(Settings::default()), ..good() }), [""; 0]);
    }

    #[test]
    fn each_departure_has_its_code() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = good().settings.unwrap();
            change(&mut settings);
            Present { settings: Ok(settings), ..good() }
        };
        for (present, code) in [
            (Present { partitions: 6, ..good() }, "topic_partitions"),
            (Present { partitions: 24, ..good() }, "topic_partitions"),
            (Present { leaderless: 1, ..good() }, "topic_without_leader"),
            (with(&|settings| settings.min_insync_replicas = Some(1)), "topic_min_insync_replicas"),
            (with(&|settings| settings.min_insync_replicas = Some(3)), "topic_min_insync_replicas"),
            (with(&|settings| settings.min_insync_replicas = Some(4)), "topic_min_insync_replicas"),
            (with(&|settings| settings.cleanup_policy = Some("compact,delete".to_owned())), "topic_compacted"),
            (with(&|settings| settings.max_message_bytes = Some(999_999)), "topic_max_message_bytes"),
        ] {
            assert_eq!(codes(present), [code]);
        }
        assert_eq!(codes(Present { replication: 1, ..good() }), ["topic_replication", "topic_min_insync_replicas"]);
        assert_eq!(differences(&wanted(), &State::Missing), [Difference::Missing]);
    }

    #[test]
    fn one_replica_on_purpose_is_only_notable() {
        let wanted = Wanted { replication: 1, ..wanted() };
        let settings = Settings { min_insync_replicas: Some(1), ..Settings::default() };
        let present = Present { replication: 1, settings: Ok(settings), ..good() };
        let found = differences(&wanted, &State::Present(present));
        assert_eq!(found, [Difference::SingleReplica]);
        assert!(found.iter().all(|difference| difference.severity() == Severity::Notable));
    }
}
