//! The configuration for one application's callbacks and records.

use std::collections::HashSet;
use std::sync::Arc;

use super::event_type::Entity;
use super::record::Record;
use crate::jose::jwe::ContentKey;

/// The rules for one application's callbacks. Immutable: a change of the configuration creates a new policy.
pub struct Policy {
    /// The application's id, which must be the token's `aud`.
    pub application_id: String,
    /// The IDaaS instance that must be the token's `sub`. `None` accepts any.
    pub instance_id: Option<String>,
    /// The tolerated difference between IDaaS's clock and ours, in seconds.
    pub clock_skew: i64,
    /// The decryption keys, tried in this order.
    pub decryption_keys: Vec<Arc<ContentKey>>,
    /// True if callbacks that are not encrypted are rejected.
    pub require_encryption: bool,
    /// The handling of passwords.
    pub passwords: Passwords,
    /// The event types (URNs) that are not published.
    pub skip: HashSet<String>,
    /// The topics for the records.
    pub topics: Topics,
    /// The layout of the CloudEvents.
    pub mode: EventMode,
    /// The journal's keys. The first encrypts originals of dead letters that cannot be searched for passwords.
    pub journal_keys: Vec<Arc<ContentKey>>,
    /// The maximum size of a record, in bytes of key, value and headers.
    pub max_record_bytes: usize,
}

/// The rules for creating dead letters. They do not depend on an application, so that events of an application that
/// has been removed from the configuration can still become dead letters.
#[derive(Clone)]
pub struct DeadLetterRules {
    topic: Arc<str>,
    mode: EventMode,
    journal_key: Option<Arc<ContentKey>>,
}

impl DeadLetterRules {
    /// Returns the same rules, but with the dead-letter topic that has the same prefix as the record's topic.
    #[must_use]
    pub fn for_record(self, record: &Record) -> Self {
        let prefix = record.topic.strip_suffix(&*format!(".{}.v1", record.entity.name()));
        let topic = prefix.map(|prefix| Arc::clone(Topics::with_prefix(prefix).of(Entity::DeadLetter)));
        Self { topic: topic.unwrap_or(self.topic), ..self }
    }

    /// Returns the dead-letter topic.
    pub(super) const fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Returns the layout of the CloudEvents.
    pub(super) const fn mode(&self) -> EventMode {
        self.mode
    }

    /// Returns the key that encrypts originals that cannot be searched for passwords.
    pub(super) fn journal_key(&self) -> Option<&ContentKey> {
        self.journal_key.as_deref()
    }
}

impl Policy {
    /// Returns the rules for this application's dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterRules {
        DeadLetterRules {
            topic: Arc::clone(self.topics.of(Entity::DeadLetter)),
            mode: self.mode,
            journal_key: self.journal_keys.first().map(Arc::clone),
        }
    }
}

/// The handling of passwords that IDaaS sends. Has no `Debug`, because it holds a key.
#[derive(Clone)]
pub enum Passwords {
    /// Passwords are dropped.
    Drop,
    /// Passwords are encrypted with this AES-256 key and published to the credential topic.
    Seal(Arc<ContentKey>),
}

/// The layout of a CloudEvent in a Kafka record (CloudEvents Kafka protocol binding 1.0.2 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum EventMode {
    /// The attributes are headers; the value is the data (§3.2).
    Binary,
    /// The value is the whole event as JSON (§3.3).
    Structured,
}

/// The topic of each entity.
#[derive(Clone)]
pub struct Topics([Arc<str>; Entity::ALL.len()]);

impl Topics {
    /// Returns the topics with a prefix: `<prefix>.<entity>.v1`.
    #[must_use]
    pub fn with_prefix(prefix: &str) -> Self {
        Self(Entity::ALL.map(|entity| Arc::from(format!("{prefix}.{}.v1", entity.name()))))
    }

    /// Returns the topic of an entity's records.
    #[must_use]
    pub fn of(&self, entity: Entity) -> &Arc<str> {
        entity.pick(&self.0)
    }
}
