//! How a topic differs from its plan, how severe that is, and how to fix it. Pure.
//!
//! An unknown setting is never a difference: a cluster that does not report its settings can still be right.

pub mod compare;
pub mod text;

use std::time::Duration;

/// The oldest timestamp that the bridge publishes, relative to now. A record that waited for longer than an hour gets
/// the current time; the rest is tolerance for the transport to the broker and for clock differences.
pub const OLDEST_TIMESTAMP: Duration = Duration::from_secs(65 * 60);
/// How far the broker's clock may be behind before it rejects records as being from the future.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// How severe a difference is.
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
    /// The broker reports an error instead.
    Unreadable(String),
    /// This many partitions have no leader.
    NoLeader(usize),
    /// Fewer partitions than configured.
    FewerPartitions {
        /// As configured.
        wanted: i32,
        /// As found.
        found: i32,
    },
    /// More partitions than configured.
    MorePartitions {
        /// As configured.
        wanted: i32,
        /// As found.
        found: i32,
    },
    /// Fewer replicas than configured.
    Replication {
        /// As configured.
        wanted: i32,
        /// As found.
        found: i32,
    },
    /// A record counts as confirmed when only one broker has it.
    MinInsyncReplicas {
        /// `min.insync.replicas`.
        found: i32,
    },
    /// There is one replica, on purpose: losing the broker loses events.
    SingleReplica,
    /// More replicas must have a record than exist.
    NeverInsync {
        /// `min.insync.replicas`.
        needed: i32,
        /// The replicas.
        replication: i32,
    },
    /// All replicas must have a record, so one unavailable broker stops everything.
    NoSpareReplica {
        /// `min.insync.replicas`.
        needed: i32,
    },
    /// Fewer replicas are in sync than a confirmed record needs.
    NotInSync {
        /// How many replicas are in sync.
        in_sync: i32,
        /// How many a confirmed record needs.
        needed: i32,
    },
    /// Old events are removed when newer events of the entity arrive.
    Compacted(String),
    /// The topic keeps all records of an entity, so reading it takes longer and longer.
    NotCompacted(String),
    /// Tombstones are removed earlier than they should be.
    TombstoneRetention {
        /// As found, in milliseconds.
        found: i64,
    },
    /// The topic accepts only smaller records than are published.
    MessageSize {
        /// The largest published record, in bytes.
        wanted: usize,
        /// The largest record that the topic accepts, in bytes.
        found: usize,
    },
    /// The topic rejects timestamps that the bridge publishes, because they are too old.
    OldTimestamps {
        /// The oldest that it accepts, in milliseconds.
        found: i64,
    },
    /// The topic rejects records if the broker's clock is a little behind.
    FutureTimestamps {
        /// How far ahead a timestamp may be, in milliseconds.
        found: i64,
    },
    /// Records are deleted earlier than configured.
    Retention {
        /// As configured, in milliseconds; -1 means no limit.
        wanted: i64,
        /// As found, in milliseconds.
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
            Self::Replication { .. } | Self::SingleReplica => "topic_replication",
            Self::MinInsyncReplicas { .. } | Self::NeverInsync { .. } | Self::NoSpareReplica { .. } => {
                "topic_min_insync_replicas"
            }
            Self::NotInSync { .. } => "topic_not_in_sync",
            Self::Compacted(_) => "topic_compacted",
            Self::NotCompacted(_) => "topic_not_compacted",
            Self::TombstoneRetention { .. } => "topic_tombstone_retention",
            Self::MessageSize { .. } => "topic_max_message_bytes",
            Self::OldTimestamps { .. } | Self::FutureTimestamps { .. } => "topic_timestamps",
            Self::Retention { .. } => "topic_retention",
        }
    }

    /// Returns how severe it is.
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
            | Self::Replication { .. }
            | Self::MinInsyncReplicas { .. }
            | Self::NeverInsync { .. }
            | Self::NotInSync { .. }
            | Self::Compacted(_)
            | Self::NotCompacted(_)
            | Self::TombstoneRetention { .. }
            | Self::MessageSize { .. } => Severity::Wrong,
        }
    }
}
