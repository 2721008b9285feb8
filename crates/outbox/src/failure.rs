//! Why a record was not published, and why the head of a lane waits. The codes are stable: metric labels, and the
//! output of `idaas-bridge journal`.

use super::{EventKey, Millis, Seq};

/// Why a record was not published: the result of an attempt, or what is known before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FailureCode {
    /// The producer's queue is full.
    QueueFull,
    /// The broker did not confirm the record in time.
    TimedOut,
    /// The Kafka user is not allowed to write to the topic.
    NotAuthorized,
    /// The topic does not exist.
    UnknownTopic,
    /// Fewer replicas are in sync than `min.insync.replicas` demands.
    NotEnoughReplicas,
    /// The leader of the record's partition cannot be reached, or does not accept records at the moment.
    PartitionUnavailable,
    /// The record is larger than the topic accepts.
    RecordTooLarge,
    /// The broker considers the record invalid.
    InvalidRecord,
    /// The record's timestamp is outside of the range that the topic accepts.
    InvalidTimestamp,
    /// A policy of the broker rejects the record.
    PolicyViolation,
    /// The producer was replaced before the broker confirmed the record.
    ProducerReplaced,
    /// Another cluster answers at the same address, so what the producer reported does not count.
    ClusterReplaced,
    /// There is no working producer.
    ProducerFailed,
    /// The journal entry cannot be read.
    JournalUnreadable,
    /// Other replicas can have the event too, and have to be asked before it is published.
    AskingReplicas,
    /// Any other error of the broker or of librdkafka.
    Other,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::QueueFull,
        Self::TimedOut,
        Self::NotAuthorized,
        Self::UnknownTopic,
        Self::NotEnoughReplicas,
        Self::PartitionUnavailable,
        Self::RecordTooLarge,
        Self::InvalidRecord,
        Self::InvalidTimestamp,
        Self::PolicyViolation,
        Self::ProducerReplaced,
        Self::ClusterReplaced,
        Self::ProducerFailed,
        Self::JournalUnreadable,
        Self::AskingReplicas,
        Self::Other,
    ];

    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// Returns true if the event is tried again when its partition recovers or, with other replicas, when those have
    /// been asked. Other records of the partition fail too.
    #[must_use]
    pub const fn ends_with_recovery(self) -> bool {
        match self {
            Self::TimedOut
            | Self::NotAuthorized
            | Self::UnknownTopic
            | Self::NotEnoughReplicas
            | Self::PartitionUnavailable
            | Self::AskingReplicas => true,
            // `Other` includes fatal errors of the producer.
            Self::QueueFull
            | Self::RecordTooLarge
            | Self::InvalidRecord
            | Self::InvalidTimestamp
            | Self::PolicyViolation
            | Self::ProducerReplaced
            | Self::ClusterReplaced
            | Self::ProducerFailed
            | Self::JournalUnreadable
            | Self::Other => false,
        }
    }
}

/// Why the head of a lane waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitReason {
    /// Kafka is unavailable.
    KafkaUnavailable,
    /// It waits for its replay from the journal.
    ReplayPending,
    /// Another replica publishes the events of this lane first.
    OtherReplica,
    /// The last attempt to publish it failed, or other replicas are asked first.
    Failed(FailureCode),
}

impl WaitReason {
    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::KafkaUnavailable => "kafka_unavailable",
            Self::ReplayPending => "replay_pending",
            Self::OtherReplica => "other_replica",
            Self::Failed(failure) => failure.code(),
        }
    }

    /// Returns every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [Self::KafkaUnavailable, Self::ReplayPending, Self::OtherReplica];
        others.into_iter().chain(FailureCode::ALL.map(Self::Failed))
    }
}

/// The result of an operator's order to publish an event now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedriveOutcome {
    /// The event waited. It is now handed to the producer, or read from the journal for it.
    Started,
    /// The event is the head of its lane, but cannot be published now. It is published as soon as this reason ends.
    Blocked(WaitingHead),
    /// The event is with the producer, is being read from the journal, or waits behind another event of its lane.
    NotWaiting,
    /// The event is unknown, or already resolved.
    Unknown,
}

/// The result of an operator's order to discard an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscardOutcome {
    /// It is not published, and its entry is deleted.
    Discarded,
    /// The producer has it, so it cannot be recalled.
    InFlight,
    /// The event is unknown, or already resolved.
    Unknown,
}

/// The head of a lane that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingHead {
    /// The event.
    pub key: EventKey,
    /// Its position in the order of acceptance, which is also the number of its journal entry.
    pub seq: Seq,
    /// Why it waits.
    pub reason: WaitReason,
    /// How many attempts to publish it have failed in this process.
    pub attempts: u8,
    /// When the first of these attempts failed, on the outbox's clock.
    pub failing_since: Option<Millis>,
}
