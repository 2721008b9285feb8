//! The codes of log lines. Alerts, scripts and people search for them, so a code never changes.
//!
//! `docs/operations.md` explains each of them; a test compares the two. Lines whose code comes from another closed enum
//! (why a callback is refused, why public keys were not refreshed, how a topic differs) use the code of that enum.

/// The field `code` of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LogCode {
    // Start, reload and shutdown
    /// A setting works, but production should not use it.
    Configuration,
    /// The service cannot start, for example because an address is in use.
    NotStarted,
    /// Kafka did not answer at the start.
    NotWarm,
    /// Files that the configuration names have changed, so the configuration is reloaded.
    FilesChanged,
    /// The new configuration has a fault.
    ReloadRefused,
    /// The key in `key` has changed and takes effect only after a restart.
    RestartNeeded,
    /// `materialize` does not reload.
    NotReloaded,
    /// The log level could not be changed.
    LogLevelNotChanged,
    /// The process shuts down and finishes its work.
    Draining,
    /// Callbacks were still in progress after `server.drain_timeout`.
    DrainTimeout,
    /// A second signal ended the waiting of the shutdown.
    SecondSignal,
    /// At the shutdown, events were neither confirmed nor in the journal.
    NotKept,
    /// An HTTP listener has ended with an error.
    ServerEnded,
    /// A thread has ended in a panic.
    ThreadEnded,

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
    KafkaAway,
    /// Kafka is available again.
    KafkaAvailable,
    /// The Kafka user may not write to any topic.
    KafkaNotAuthorized,
    /// A record was not published.
    RecordFailed,
    /// Confirmations wait, because a broker does not answer over a new connection.
    ClusterNotVerified,
    /// A different Kafka cluster answers at the same address.
    ClusterReplaced,
    /// The Kafka producer was replaced.
    ProducerRecreated,
    /// Records wait although the leader of their partition answers.
    ProducerStuck,
    /// A new producer could not be started; it is tried again.
    ProducerNotReplaced,
    /// The producer that sends single records could not be started; it is tried again.
    ProducerNotStarted,
    /// A replaced producer ended without waiting for its last reports.
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
    /// No event waits for this reason any more.
    EventsGoOn,
    /// Everything in the journal is published.
    JournalEmpty,
    /// The journal accepts no more events.
    JournalRefuses,
    /// The journal accepts events again.
    JournalTakes,
    /// Writing to the journal has failed.
    JournalSuspect,
    /// The journal was read back and is in order.
    JournalVerified,
    /// The disk has lost writes that it had reported as synced.
    JournalLost,
    /// An entry cannot be decrypted or read.
    JournalEntryDamaged,
    /// The journal's thread has ended in a panic.
    JournalEnded,
    /// The journal was not closed in order.
    JournalClose,
    /// Entries are sealed with a key that is not the first of `journal.keys`.
    JournalOldKey,
    /// Everything in the journal is sealed with the first key.
    JournalResealed,
    /// A reload has replaced `journal.keys`.
    JournalKeysReplaced,
    /// An operator ordered an event to be tried at once.
    JournalRedriven,
    /// An operator removed an event from the journal.
    JournalDiscarded,
    /// The quarantine is nearly full.
    QuarantineFilling,
    /// The quarantine is full or cannot be written.
    QuarantineRefuses,
    /// The quarantine accepts callbacks again.
    QuarantineAccepts,
    /// A callback in quarantine could be read.
    QuarantineOpened,
    /// A callback was published and is still in quarantine.
    QuarantineNotReleased,
    /// An operator ordered a callback in quarantine to be tried.
    QuarantineRedriven,
    /// An operator removed a callback from quarantine.
    QuarantineDiscarded,

    // Duplicates and replicas
    /// The newest records of the topics were read, so re-delivered events are recognized.
    MemoryRebuilt,
    /// Some topics could not be read yet.
    MemoryIncomplete,
    /// The topics cannot be read.
    MemoryNotRebuilt,
    /// The records of other replicas cannot be followed.
    NotFollowing,
    /// The user may not read the topics, so events of other replicas are not known.
    ReplicasNotFollowed,
    /// Another replica runs.
    ReplicaFound,
    /// The replicas agreed who publishes what first.
    ReplicasAgreed,
    /// The replicas cannot agree.
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
    /// A restore waits for what the message names.
    StateWaiting,
    /// A Kafka client of `materialize` reports a problem with its connection.
    StateConnection,
    /// The Kafka clients of `materialize` are replaced after an error.
    StateRestarting,
    /// Another instance used the same transactional id.
    StateFenced,
    /// A transaction was aborted and is repeated.
    StateTransactionAborted,
    /// The working state on disk is not usable and is restored from the topics.
    StateStoreDiscarded,
    /// The working state cannot be written or opened.
    StateStoreFailed,
    /// A record of an event topic is not an event, and is left out.
    StateUnreadable,
    /// A state record cannot be read, because something else wrote it.
    StateForeign,
    /// The state of an entity exceeds the largest record, so the event is left out.
    StateTooLarge,
}

impl LogCode {
    /// Every code.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The code as it is logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
