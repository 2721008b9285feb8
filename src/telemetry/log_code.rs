//! The codes of log lines. Alerts and scripts depend on them, so a code never changes.
//!
//! `docs/operations.md` explains each code; a test compares the two. Log lines about refused callbacks, failed key
//! refreshes and topic differences use the codes of their own closed enums.

/// The field `code` of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LogCode {
    // Start, reload and shutdown
    /// A setting is valid, but not suitable for production.
    Configuration,
    /// The service cannot start, for example because an address is in use.
    NotStarted,
    /// Kafka did not answer at the start.
    NotWarm,
    /// Files that the configuration names have changed, so the configuration is reloaded.
    FilesChanged,
    /// The new configuration is invalid.
    ReloadRefused,
    /// The key in `key` has changed and takes effect only after a restart.
    RestartNeeded,
    /// `materialize` does not reload.
    NotReloaded,
    /// The log level could not be changed.
    LogLevelNotChanged,
    /// The process is shutting down and finishes its work.
    Draining,
    /// Callbacks, or a transaction of `materialize`, were still in progress after `server.drain_timeout`.
    DrainTimeout,
    /// A second signal ended the waiting during shutdown.
    SecondSignal,
    /// At shutdown, events were neither confirmed nor in the journal.
    NotKept,
    /// An HTTP listener has ended with an error.
    ServerEnded,
    /// A thread has ended in a panic.
    ThreadEnded,
    /// The thread of `materialize` no longer proceeds, so the process ends.
    ThreadStalled,

    // Callbacks
    /// This machine's clock differs from the key endpoint's by more than half of `server.clock_skew`.
    ClockOff,
    /// The clocks agree again.
    ClockRight,
    /// The key set on disk cannot be read.
    CacheUnreadable,
    /// The key set was not written to disk, because the disk does not answer.
    CacheBusy,
    /// The key set was not written to disk.
    CacheNotWritten,
    /// An entry of the key set is not a key that can verify RS256.
    KeySkipped,
    /// An operator published the event of a dead letter again.
    DeadLetterRedriven,
    /// An operator's redrive of a dead letter did not succeed.
    DeadLetterNotRedriven,

    // Kafka
    /// Kafka is unavailable.
    KafkaUnavailable,
    /// Kafka is available again.
    KafkaAvailable,
    /// The Kafka user may not write to any topic.
    KafkaNotAuthorized,
    /// A record was not published.
    RecordFailed,
    /// Confirmations are held back, because a broker does not answer over a new connection.
    ClusterNotVerified,
    /// A different Kafka cluster answers at the same address.
    ClusterReplaced,
    /// The Kafka producer was replaced.
    ProducerRecreated,
    /// Records wait although the leader of their partition answers.
    ProducerStuck,
    /// A new producer could not be started. It is retried.
    ProducerNotReplaced,
    /// The producer that sends single records could not be started. It is retried.
    ProducerNotStarted,
    /// A replaced producer ended without waiting for its last delivery reports.
    ProducerEndedEarly,
    /// A missing topic was created.
    TopicCreated,
    /// A missing topic could not be created.
    TopicNotCreated,
    /// The topics could not be inspected.
    TopicsNotChecked,
    /// A topic has more partitions than before, so entities have moved to other partitions.
    PartitionsChanged,

    // Journal and quarantine
    /// Events wait in the journal for the reason in `reason`.
    EventsWaiting,
    /// No event waits for this reason any longer.
    EventsResumed,
    /// Everything in the journal has been published.
    JournalEmpty,
    /// The journal accepts no more events.
    JournalRefuses,
    /// The journal accepts events again.
    JournalAccepts,
    /// Writing to the journal has failed.
    JournalSuspect,
    /// The journal was read back and is intact.
    JournalVerified,
    /// The disk has lost writes that it had reported as synced.
    JournalLost,
    /// An entry cannot be decrypted or read.
    JournalEntryDamaged,
    /// The journal's thread has ended in a panic.
    JournalEnded,
    /// The journal was not closed properly.
    JournalClose,
    /// Entries are sealed with a key that is not the first of `journal.keys`.
    JournalOldKey,
    /// Everything in the journal is sealed with the first key.
    JournalResealed,
    /// A reload has replaced `journal.keys`.
    JournalKeysReplaced,
    /// An operator requested an immediate retry of an event.
    JournalRedriven,
    /// An operator removed an event from the journal.
    JournalDiscarded,
    /// The quarantine is nearly full.
    QuarantineFilling,
    /// The quarantine is full or cannot be written.
    QuarantineRefuses,
    /// The quarantine accepts callbacks again.
    QuarantineAccepts,
    /// A callback in quarantine was decrypted and read.
    QuarantineOpened,
    /// A callback was published and is still in quarantine.
    QuarantineNotReleased,
    /// An operator requested a retry of a callback in quarantine.
    QuarantineRedriven,
    /// An operator removed a callback from quarantine.
    QuarantineDiscarded,

    // Duplicates and replicas
    /// The newest records of the topics were read, so redelivered events are recognized.
    DedupCacheRebuilt,
    /// Some topics could not be read yet.
    DedupCacheIncomplete,
    /// The topics cannot be read.
    DedupCacheNotRebuilt,
    /// The records of other replicas cannot be followed.
    NotFollowing,
    /// The Kafka user may not read the topics, so events of other replicas are not known.
    ReplicasNotFollowed,
    /// Another replica is running.
    ReplicaFound,
    /// The replicas agreed on which of them publishes which events first.
    ReplicasAgreed,
    /// The replicas cannot coordinate.
    ReplicasNotCoordinated,

    // Tracing
    /// Spans are dropped, because they cannot be exported.
    SpansDropped,
    /// Spans are exported again.
    SpansExported,

    // State topics
    /// The consumer group assigned partitions to this instance.
    StateAssigned,
    /// The consumer group took partitions away.
    StateRevoked,
    /// The state of a partition is restored.
    StateRestored,
    /// A restore waits for the condition in the message.
    StateWaiting,
    /// A Kafka client of `materialize` reports a problem with its connection.
    StateConnection,
    /// The Kafka clients of `materialize` are replaced after an error.
    StateRestarting,
    /// Another instance used the same transactional id.
    StateFenced,
    /// An event topic was created again or has lost records, so its offsets start over.
    StateOffsetsReset,
    /// A transaction was aborted and is repeated.
    StateTransactionAborted,
    /// The working state on disk is unusable and is restored from the topics.
    StateStoreDiscarded,
    /// The working state cannot be written or opened.
    StateStoreFailed,
    /// A record of an event topic is not an event and is skipped.
    StateUnreadable,
    /// A state record cannot be read, because another program wrote it.
    StateForeign,
    /// The state of an entity exceeds the maximum record size, so the event is skipped.
    StateTooLarge,
}

impl LogCode {
    /// Every code.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the code as it is logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
