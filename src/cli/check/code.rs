//! What the doctor tests, each with a stable code.

/// A part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Configuration,
    Machine,
    PublicKeys,
    Directory,
    Kafka,
    Topics,
}

impl Section {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Machine => "This machine",
            Self::PublicKeys => "Public keys",
            Self::Directory => "Developer API",
            Self::Kafka => "Kafka",
            Self::Topics => "Topics",
        }
    }
}

/// What a finding is about. The level tells how the test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// As it should be, as far as was tested.
    Topic,
    TopicSettings,
    TopicWrite,
    TopicRead,
    TopicCreate,
    /// The topic over which replicas coordinate.
    ReplicasTopic,
    /// How a topic differs from what it should be: [`crate::kafka::admin::topic_drift::Difference::code`].
    Difference(&'static str),
}

impl Code {
    /// The stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::ConfigurationWarning => "configuration_warning",
            Self::SecretFile => "secret_file",
            Self::Listener => "listener",
            Self::Certificate => "certificate",
            Self::JournalDirectory => "journal_directory",
            Self::JournalRoom => "journal_room",
            Self::Journal => "journal",
            Self::Runtime => "runtime",
            Self::Jwks => "jwks",
            Self::JwksClock => "jwks_clock",
            Self::Directory => "directory",
            Self::DirectoryScope => "directory_scope",
            Self::DirectoryPermission => "directory_permission",
            Self::KafkaProperties => "kafka_properties",
            Self::Kafka => "kafka",
            Self::KafkaUnreachable => "kafka_unreachable",
            Self::BrokerUnreachable => "broker_unreachable",
            Self::ReplicationFactor => "replication_factor",
            Self::IdempotentWrite => "idempotent_write",
            Self::Topic => "topic",
            Self::TopicSettings => "topic_settings",
            Self::TopicWrite => "topic_write",
            Self::TopicRead => "topic_read",
            Self::TopicCreate => "topic_create",
            Self::ReplicasTopic => "replicas_topic",
            Self::Difference(code) => code,
        }
    }

    /// Where the report shows it.
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
        }
    }
}
