//! The differences between a topic and its plan, with severity and fix. Pure.
//!
//! An unknown setting is never a difference, because the topic can still be correct.

pub mod compare;
pub mod text;

use std::time::Duration;

/// The oldest timestamp that the bridge publishes, relative to now. A record that waited for longer than an hour gets
/// the current time; the rest is tolerance for the transport to the broker and for clock differences.
pub const OLDEST_TIMESTAMP: Duration = Duration::from_secs(65 * 60);
/// The clock difference that a topic must tolerate. A broker whose clock is behind by more than the topic's limit
/// rejects records as being from the future.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// The severity of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but is probably not intended.
    Notable,
    /// A guarantee does not hold, or records are rejected.
    Wrong,
}

/// One difference between the plan of a topic and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The topic does not exist.
    Missing,
    /// The topic is not visible to this user.
    Hidden,
    /// The broker reports an error, with this message.
    Unreadable(String),
    /// This many partitions have no leader.
    NoLeader(usize),
    /// Fewer partitions than configured.
    FewerPartitions {
        /// The configured value.
        wanted: i32,
        /// The actual value.
        found: i32,
    },
    /// More partitions than configured.
    MorePartitions {
        /// The configured value.
        wanted: i32,
        /// The actual value.
        found: i32,
    },
    /// A state topic has another number of partitions than its event topic, so `materialize` cannot maintain it.
    StatePartitions {
        /// The event topic.
        events: String,
        /// The number of partitions of the event topic.
        wanted: i32,
        /// The actual value.
        found: i32,
    },
    /// Fewer replicas than configured.
    Replication {
        /// The configured value.
        wanted: i32,
        /// The actual value.
        found: i32,
    },
    /// A record counts as confirmed when only one broker has it.
    MinInsyncReplicas {
        /// `min.insync.replicas`.
        found: i32,
    },
    /// The topic has one replica, as configured. Losing the broker loses events.
    SingleReplica,
    /// `min.insync.replicas` exceeds the number of replicas. Kafka 3.7 and later demand all replicas then (KAFKA-15583),
    /// and earlier versions accept no record.
    TooFewReplicas {
        /// `min.insync.replicas`.
        needed: i32,
        /// The number of replicas.
        replication: i32,
    },
    /// All replicas must confirm a record, so one unavailable broker stops publishing.
    NoSpareReplica {
        /// `min.insync.replicas`.
        needed: i32,
    },
    /// Fewer replicas are in sync than a confirmed record needs.
    NotInSync {
        /// The number of replicas in sync.
        in_sync: i32,
        /// The number of replicas that a confirmed record needs.
        needed: i32,
    },
    /// Old events are removed when newer events of the entity arrive. Contains the cleanup policy.
    Compacted(String),
    /// The topic keeps all records of an entity, so reading it takes longer and longer. Contains the cleanup policy.
    NotCompacted(String),
    /// Tombstones are removed too early.
    TombstoneRetention {
        /// The actual value, in milliseconds.
        found: i64,
    },
    /// The topic's maximum record size is smaller than the producer's.
    MessageSize {
        /// The producer's maximum, in bytes.
        wanted: usize,
        /// The topic's maximum, in bytes.
        found: usize,
    },
    /// A state topic's maximum record size is smaller than the largest state can become.
    StateSize {
        /// The largest record that `materialize` publishes, in bytes.
        wanted: usize,
        /// The topic's maximum, in bytes.
        found: usize,
    },
    /// The topic rejects timestamps that the bridge publishes, because they are too old.
    OldTimestamps {
        /// The maximum age that it accepts, in milliseconds.
        found: i64,
    },
    /// The topic rejects records if the broker's clock is a little behind.
    FutureTimestamps {
        /// The maximum time in the future, in milliseconds.
        found: i64,
    },
    /// Records are deleted earlier than configured.
    Retention {
        /// The configured value, in milliseconds; -1 means no limit.
        wanted: i64,
        /// The actual value, in milliseconds.
        found: i64,
    },
}

impl Difference {
    /// Returns the stable code, for log lines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "topic_missing",
            Self::Hidden => "topic_hidden",
            Self::Unreadable(_) => "topic_unreadable",
            Self::NoLeader(_) => "topic_without_leader",
            Self::FewerPartitions { .. } | Self::MorePartitions { .. } => "topic_partitions",
            Self::StatePartitions { .. } => "topic_state_partitions",
            Self::Replication { .. } | Self::SingleReplica => "topic_replication",
            Self::MinInsyncReplicas { .. } | Self::TooFewReplicas { .. } | Self::NoSpareReplica { .. } => {
                "topic_min_insync_replicas"
            }
            Self::NotInSync { .. } => "topic_not_in_sync",
            Self::Compacted(_) => "topic_compacted",
            Self::NotCompacted(_) => "topic_not_compacted",
            Self::TombstoneRetention { .. } => "topic_tombstone_retention",
            Self::MessageSize { .. } | Self::StateSize { .. } => "topic_max_message_bytes",
            Self::OldTimestamps { .. } | Self::FutureTimestamps { .. } => "topic_timestamps",
            Self::Retention { .. } => "topic_retention",
        }
    }

    /// Returns the severity.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::MorePartitions { .. }
            | Self::SingleReplica
            | Self::NoSpareReplica { .. }
            | Self::OldTimestamps { .. }
            | Self::FutureTimestamps { .. }
            | Self::Retention { .. } => Severity::Notable,
            Self::Missing
            | Self::Hidden
            | Self::Unreadable(_)
            | Self::NoLeader(_)
            | Self::FewerPartitions { .. }
            | Self::StatePartitions { .. }
            | Self::Replication { .. }
            | Self::MinInsyncReplicas { .. }
            | Self::TooFewReplicas { .. }
            | Self::NotInSync { .. }
            | Self::Compacted(_)
            | Self::NotCompacted(_)
            | Self::TombstoneRetention { .. }
            | Self::MessageSize { .. }
            | Self::StateSize { .. } => Severity::Wrong,
        }
    }
}
