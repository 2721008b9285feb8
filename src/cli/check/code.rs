//! The tests of `check`, each with a stable code.

/// A section of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub(super) enum Section {
    Configuration,
    #[strum(to_string = "This machine")]
    Machine,
    #[strum(to_string = "Public keys")]
    PublicKeys,
    #[strum(to_string = "Developer API")]
    Directory,
    Kafka,
    Topics,
    /// What only `materialize` needs.
    #[strum(to_string = "State topics")]
    States,
}

/// The subject of a finding. The result of the test is the finding's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Code {
    Configuration,
    ConfigurationWarning,
    SecretFile,
    Listener,
    Certificate,
    JournalDirectory,
    JournalRoom,
    Journal,
    Runtime,
    Jwks,
    JwksClock,
    /// Access to the Developer API, for `fetch`.
    Directory,
    DirectoryScope,
    DirectoryPermission,
    KafkaProperties,
    Kafka,
    KafkaUnreachable,
    BrokerUnreachable,
    ReplicationFactor,
    IdempotentWrite,
    /// No difference was found, as far as the topic was tested.
    Topic,
    TopicSettings,
    TopicWrite,
    TopicRead,
    TopicCreate,
    /// The topic that replicas use to coordinate.
    ReplicasTopic,
    StateDirectory,
    StateRoom,
    /// The right of `materialize` to read the event topics.
    StateEvents,
    StateGroup,
    StateTransactions,
    /// A difference between the topic and the expected one: [`crate::kafka::admin::topic_drift::Difference::code`].
    Difference(&'static str),
}

impl Code {
    /// Returns the stable name.
    pub(super) fn name(self) -> &'static str {
        if let Self::Difference(code) = self { code } else { self.into() }
    }

    /// Returns the section of the report that shows it.
    pub(super) const fn section(self) -> Section {
        match self {
            Self::Configuration | Self::ConfigurationWarning | Self::SecretFile => Section::Configuration,
            Self::Listener
            | Self::Certificate
            | Self::JournalDirectory
            | Self::JournalRoom
            | Self::Journal
            | Self::Runtime => Section::Machine,
            Self::Jwks | Self::JwksClock => Section::PublicKeys,
            Self::Directory | Self::DirectoryScope | Self::DirectoryPermission => Section::Directory,
            Self::KafkaProperties
            | Self::Kafka
            | Self::KafkaUnreachable
            | Self::BrokerUnreachable
            | Self::ReplicationFactor
            | Self::IdempotentWrite => Section::Kafka,
            Self::Topic
            | Self::TopicSettings
            | Self::TopicWrite
            | Self::TopicRead
            | Self::TopicCreate
            | Self::ReplicasTopic
            | Self::Difference(_) => Section::Topics,
            Self::StateDirectory | Self::StateRoom | Self::StateEvents | Self::StateGroup | Self::StateTransactions => {
                Section::States
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_never_change() {
        for (code, name) in [
            (Code::Configuration, "configuration"),
            (Code::ConfigurationWarning, "configuration_warning"),
            (Code::SecretFile, "secret_file"),
            (Code::Listener, "listener"),
            (Code::Certificate, "certificate"),
            (Code::JournalDirectory, "journal_directory"),
            (Code::JournalRoom, "journal_room"),
            (Code::Journal, "journal"),
            (Code::Runtime, "runtime"),
            (Code::Jwks, "jwks"),
            (Code::JwksClock, "jwks_clock"),
            (Code::Directory, "directory"),
            (Code::DirectoryScope, "directory_scope"),
            (Code::DirectoryPermission, "directory_permission"),
            (Code::KafkaProperties, "kafka_properties"),
            (Code::Kafka, "kafka"),
            (Code::KafkaUnreachable, "kafka_unreachable"),
            (Code::BrokerUnreachable, "broker_unreachable"),
            (Code::ReplicationFactor, "replication_factor"),
            (Code::IdempotentWrite, "idempotent_write"),
            (Code::Topic, "topic"),
            (Code::TopicSettings, "topic_settings"),
            (Code::TopicWrite, "topic_write"),
            (Code::TopicRead, "topic_read"),
            (Code::TopicCreate, "topic_create"),
            (Code::ReplicasTopic, "replicas_topic"),
            (Code::StateDirectory, "state_directory"),
            (Code::StateRoom, "state_room"),
            (Code::StateEvents, "state_events"),
            (Code::StateGroup, "state_group"),
            (Code::StateTransactions, "state_transactions"),
            (Code::Difference("retention"), "retention"),
        ] {
            assert_eq!(code.name(), name);
        }
    }
}
