//! The topics: what they should be, what they are, and how the two differ. Pure: [`super::administrator`] asks.
//!
//! What is not known is never a difference: a cluster that keeps its settings to itself may still be right.

use std::collections::BTreeSet;
use std::fmt;

use super::settings::Cluster;
use crate::config::{Config, Passwords};
use crate::prepare::event_type::Entity;
use crate::prepare::policy::Topics;

/// `max.message.bytes` where a broker is not told otherwise (Apache Kafka's documentation of topic settings).
const BROKER_DEFAULT_MAX_MESSAGE_BYTES: usize = 1_048_588;

/// What the topics should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One per prefix and entity, in the order in which they are shown.
    pub topics: Vec<Wanted>,
}

/// What one topic should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What its records are about.
    pub entity: Entity,
    /// Its partitions.
    pub partitions: i32,
    /// The replicas of each partition.
    pub replication: i32,
    /// The largest record that is published, in bytes.
    pub max_message_bytes: usize,
}

impl Plan {
    /// The topics that this configuration publishes to: those of each prefix that an application has, with the
    /// credential topic only where one of its applications seals passwords.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let cluster = Cluster {
            bootstrap_servers: config.kafka.bootstrap_servers.clone(),
            properties: config.kafka.properties.clone(),
        };
        let max_message_bytes = cluster.max_message_bytes();
        let prefix = |application: &crate::config::Application| {
            application.topic_prefix.clone().unwrap_or_else(|| config.topics.prefix.clone())
        };
        let prefixes: BTreeSet<String> = config.applications.iter().map(prefix).collect();
        let sealing: BTreeSet<String> = config
            .applications
            .iter()
            .filter(|application| match application.passwords {
                Passwords::Seal(_) => true,
                Passwords::Drop => false,
            })
            .map(prefix)
            .collect();
        let mut topics = Vec::with_capacity(prefixes.len() * Entity::ALL.len());
        for prefix in &prefixes {
            let names = Topics::with_prefix(prefix);
            let entities =
                Entity::ALL.into_iter().filter(|entity| *entity != Entity::Credential || sealing.contains(prefix));
            topics.extend(entities.map(|entity| Wanted {
                name: names.of(entity).to_string(),
                entity,
                partitions: config.topics.partitions,
                replication: config.topics.replication_factor,
                max_message_bytes,
            }));
        }
        Self { topics }
    }
}

impl Wanted {
    /// How many replicas must have a record before it counts as confirmed: two, so that the loss of one broker loses
    /// nothing that was acknowledged; one where there is only one.
    #[must_use]
    pub fn min_insync_replicas(&self) -> i32 {
        self.replication.min(2)
    }

    /// The settings with which the topic is created. Retention is the broker's: how long events are of use is not
    /// ours to say.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            // Compaction would drop all but an entity's last event.
            ("cleanup.policy", "delete".to_owned()),
            ("min.insync.replicas", self.min_insync_replicas().to_string()),
        ];
        if self.max_message_bytes > BROKER_DEFAULT_MAX_MESSAGE_BYTES {
            settings.push(("max.message.bytes", self.max_message_bytes.to_string()));
        }
        settings
    }
}

/// What one topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Present(Present),
    /// It is not there.
    Missing,
    /// The broker does not let this user see it (`DESCRIBE`).
    Hidden,
    /// The broker tells an error instead, in its words.
    Unreadable(String),
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its partitions.
    pub partitions: i32,
    /// The replicas of the partition that has the fewest.
    pub replication: i32,
    /// How many partitions have no leader, and so take no record.
    pub leaderless: usize,
    /// Its settings, or in words why they are not known.
    pub settings: Result<Settings, String>,
}

/// The settings of a topic that matter here; `None` where the broker did not tell one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `min.insync.replicas`.
    pub min_insync_replicas: Option<i32>,
    /// `cleanup.policy`.
    pub cleanup_policy: Option<String>,
    /// `max.message.bytes`.
    pub max_message_bytes: Option<usize>,
}

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

    fn wanted() -> Wanted {
        Wanted {
            name: "idaas.user.v1".to_owned(),
            entity: Entity::User,
            partitions: 12,
            replication: 3,
            max_message_bytes: 1_000_000,
        }
    }

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

    #[test]
    fn a_topic_is_created_to_take_the_records_that_are_published() {
        let names = |wanted: Wanted| wanted.settings().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(wanted()), ["cleanup.policy", "min.insync.replicas"]);
        let large = Wanted { max_message_bytes: 4_000_000, ..wanted() };
        assert_eq!(names(large), ["cleanup.policy", "min.insync.replicas", "max.message.bytes"]);
        assert_eq!(Wanted { replication: 1, ..wanted() }.min_insync_replicas(), 1);
    }
}
