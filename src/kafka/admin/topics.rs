//! The topics: their plan, and their actual state. Pure: [`super::administrator`] queries the cluster.

pub mod state_topics;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use idaas_callback::event_type::Entity;
use idaas_callback::policy::{Passwords, Topics};

use crate::config::Config;

/// The broker's default of `max.message.bytes` (Apache Kafka's documentation of topic settings).
const BROKER_DEFAULT_MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Returns the name of the topic over which replicas coordinate.
#[must_use]
pub fn coordination_topic(prefix: &str) -> String {
    format!("{prefix}.replicas.v1")
}

/// The plan of all topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// One per prefix and entity, in the order of display.
    pub topics: Vec<WantedTopic>,
}

/// The plan of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    /// The topic's name.
    pub name: String,
    /// The entity that its records describe.
    pub entity: Entity,
    /// The number of partitions.
    pub partitions: i32,
    /// The event topic that determines the number of partitions. `None` if the configuration does.
    pub partitions_of: Option<String>,
    /// The number of replicas of each partition.
    pub replication: i32,
    /// The removal of old records.
    pub cleanup: Cleanup,
    /// The maximum size of a published record, in bytes.
    pub max_message_bytes: usize,
    /// The retention of its records. `None` means no limit.
    pub retention: Option<Duration>,
}

/// The removal of old records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Records are deleted after the retention. Compaction would remove all but an entity's last event.
    Delete,
    /// Only the newest record of each key is kept.
    Compact,
}

impl Cleanup {
    /// `delete.retention.ms` of a compacted topic: how long tombstones are kept.
    pub const TOMBSTONES_KEPT: Duration = Duration::from_secs(7 * 86_400);

    /// Returns the `cleanup.policy` of the topic.
    #[must_use]
    pub const fn policy(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
        }
    }
}

impl TopicSettings {
    /// Returns the topics that this configuration publishes to: those of each prefix that an application has. The
    /// credential topic is included only if one of its applications seals passwords.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let max_message_bytes = config.kafka.max_message_bytes();
        let prefixes = state_topics::prefixes(config);
        let sealing: BTreeSet<&str> = config
            .applications
            .iter()
            .filter(|application| match application.passwords {
                Passwords::Seal(_) => true,
                Passwords::Drop => false,
            })
            .map(|application| config.topic_prefix(application))
            .collect();
        let mut topics = Vec::with_capacity(prefixes.len() * Entity::ALL.len());
        for prefix in prefixes {
            let names = Topics::with_prefix(prefix);
            let entities =
                Entity::ALL.into_iter().filter(|entity| *entity != Entity::Credential || sealing.contains(prefix));
            topics.extend(entities.map(|entity| WantedTopic {
                name: names.of(entity).to_string(),
                entity,
                partitions: config.topics.partitions,
                partitions_of: None,
                replication: config.topics.replication_factor,
                cleanup: Cleanup::Delete,
                max_message_bytes,
                retention: config.topics.retention,
            }));
        }
        Self { topics }
    }
}

impl WantedTopic {
    /// Returns the number of replicas that must have a record before it is confirmed: two, so that losing one broker
    /// loses no confirmed record, or one if there is only one replica.
    #[must_use]
    pub fn min_insync_replicas(&self) -> i32 {
        self.replication.min(2)
    }

    /// Returns the `retention.ms` of the topic. -1 means no limit.
    #[must_use]
    pub fn retention_ms(&self) -> i64 {
        self.retention.map_or(-1, |retention| i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the settings with which the topic is created.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("cleanup.policy", self.cleanup.policy().to_owned()),
            ("min.insync.replicas", self.min_insync_replicas().to_string()),
            match self.cleanup {
                // The broker's default is seven days, unless its operator has changed it.
                Cleanup::Delete => ("retention.ms", self.retention_ms().to_string()),
                Cleanup::Compact => ("delete.retention.ms", Cleanup::TOMBSTONES_KEPT.as_millis().to_string()),
            },
        ];
        if self.max_message_bytes > BROKER_DEFAULT_MAX_MESSAGE_BYTES {
            settings.push(("max.message.bytes", self.max_message_bytes.to_string()));
        }
        settings
    }
}

/// The actual state of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It exists.
    Present(ExistingTopic),
    /// It does not exist.
    Missing,
    /// This user may not describe it (`DESCRIBE`).
    Hidden,
    /// The broker reports an error, with this message.
    Unreadable(String),
}

/// An existing topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingTopic {
    /// The number of partitions.
    pub partitions: i32,
    /// The number of replicas of the partition that has the fewest.
    pub replication: i32,
    /// The number of in-sync replicas of the partition that has the fewest. `None` if no partition has a leader.
    pub in_sync: Option<i32>,
    /// The number of partitions without a leader, which accept no records.
    pub leaderless: usize,
    /// The brokers that lead partitions.
    pub leaders: Vec<Leader>,
    /// Its settings, or the reason why they are not known.
    pub settings: Result<Settings, Unknown>,
}

/// A broker that leads partitions of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The broker's id.
    pub broker: i32,
    /// One of the partitions.
    pub partition: i32,
    /// The number of partitions that it leads.
    pub partitions: usize,
}

/// The reason why the settings of a topic are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// They were not requested.
    NotRequested,
    /// This user may not read them.
    NotAllowed,
    /// The cluster does not support the request. Then it is not Apache Kafka, or it is behind a proxy.
    NotSupported,
    /// The answer did not come in time.
    NoAnswer,
    /// Any other error, with the broker's message.
    Other(String),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRequested => "they were not requested",
            Self::NotAllowed => "this user may not read them (DESCRIBE_CONFIGS)",
            Self::NotSupported => "this cluster does not report them",
            Self::NoAnswer => "the cluster does not answer in time",
            Self::Other(problem) => problem,
        })
    }
}

/// The settings of a topic that affect the bridge. `None` if the broker did not report one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `min.insync.replicas`.
    pub min_insync_replicas: Option<i32>,
    /// `cleanup.policy`.
    pub cleanup_policy: Option<String>,
    /// `max.message.bytes`.
    pub max_message_bytes: Option<usize>,
    /// `retention.ms`; -1 means no limit.
    pub retention_ms: Option<i64>,
    /// `delete.retention.ms`.
    pub delete_retention_ms: Option<i64>,
    /// The maximum age of a record's timestamp, in milliseconds. `None` also if the broker sets timestamps itself.
    pub timestamp_before_max_ms: Option<i64>,
    /// The maximum time by which a timestamp may be in the future, in milliseconds. `None` also if the broker sets
    /// timestamps itself.
    pub timestamp_after_max_ms: Option<i64>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a topic with the settings of production.
    pub(in crate::kafka) fn wanted() -> WantedTopic {
        WantedTopic {
            name: "idaas.user.v1".to_owned(),
            entity: Entity::User,
            partitions: 12,
            partitions_of: None,
            replication: 3,
            cleanup: Cleanup::Delete,
            max_message_bytes: 1_000_000,
            retention: Some(Duration::from_secs(30 * 86_400)),
        }
    }

    #[test]
    fn a_topic_is_created_to_take_the_records_that_are_published() {
        let names = |wanted: WantedTopic| wanted.settings().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(wanted()), ["cleanup.policy", "min.insync.replicas", "retention.ms"]);
        let large = WantedTopic { max_message_bytes: 4_000_000, ..wanted() };
        assert_eq!(names(large), ["cleanup.policy", "min.insync.replicas", "retention.ms", "max.message.bytes"]);
        assert_eq!(WantedTopic { replication: 1, ..wanted() }.min_insync_replicas(), 1);
        assert_eq!(wanted().retention_ms(), 2_592_000_000);
        assert_eq!(WantedTopic { retention: None, ..wanted() }.retention_ms(), -1);
    }
}
