//! How a topic differs from what it should be, how bad that is, and what to do. Pure.
//!
//! What is not known is never a difference: a cluster that keeps its settings to itself may still be right.

pub mod compare;
pub mod text;

use std::time::Duration;

/// The oldest timestamp that the bridge publishes, counted from now. A record that waited for longer than an hour gets
/// the current time; the rest is room for the way to the broker and for clocks that differ.
pub const OLDEST_TIMESTAMP: Duration = Duration::from_secs(65 * 60);
/// How far the broker's clock may be behind before it rejects records as being from the future.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

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
    /// Fewer replicas are in sync than a confirmed record needs.
    NotInSync {
        /// How many are.
        in_sync: i32,
        /// How many it needs.
        needed: i32,
    },
    /// Old events are dropped when newer ones of the entity come.
    Compacted(String),
    /// The topic keeps all records of an entity, so that reading it takes ever longer.
    NotCompacted(String),
    /// Deletions vanish before they are forgotten.
    TombstoneRetention {
        /// As it is, in milliseconds.
        found: i64,
    },
    /// The topic takes smaller records than are published.
    MessageSize {
        /// What is published, in bytes.
        wanted: usize,
        /// What the topic takes, in bytes.
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
        /// As configured, in milliseconds; -1 is without limit.
        wanted: i64,
        /// As it is, in milliseconds.
        found: i64,
    },
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
            Self::NotInSync { .. } => "topic_not_in_sync",
            Self::Compacted(_) => "topic_compacted",
            Self::NotCompacted(_) => "topic_not_compacted",
            Self::TombstoneRetention { .. } => "topic_tombstone_retention",
            Self::MessageSize { .. } => "topic_max_message_bytes",
            Self::OldTimestamps { .. } | Self::FutureTimestamps { .. } => "topic_timestamps",
            Self::Retention { .. } => "topic_retention",
        }
    }

    /// How bad it is.
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
