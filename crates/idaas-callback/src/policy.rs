//! What one application's callbacks are held to, and how their records are made: the fixed arguments of `prepare`.

use std::collections::HashSet;
use std::sync::Arc;

use super::event_type::Entity;
use super::record::Record;
use crate::jose::jwe::ContentKey;

/// The rules for one application's callbacks. Built from the configuration; changed only by replacing it whole.
pub struct Policy {
    /// The application's id, which a token must name as `aud`.
    pub application_id: String,
    /// The IDaaS instance that a token must name as `sub`; `None` accepts any.
    pub instance_id: Option<String>,
    /// How far the sender's clock may be off, in seconds.
    pub clock_skew: i64,
    /// The keys that may open the encrypted data, tried in this order.
    pub decryption_keys: Vec<Arc<ContentKey>>,
    /// Whether a callback that is not encrypted is refused.
    pub require_encryption: bool,
    /// What becomes of passwords.
    pub passwords: Passwords,
    /// The event types (URNs) that the operator does not want.
    pub skip: HashSet<String>,
    /// Where records go.
    pub topics: Topics,
    /// The form of the CloudEvents.
    pub mode: EventMode,
    /// The first seals what a dead letter cannot show.
    pub journal_keys: Vec<Arc<ContentKey>>,
    /// The largest record, in bytes of key, value and headers, that the producer takes.
    pub max_record_bytes: usize,
}

/// How dead letters are made. Nothing of it belongs to one application alone, so that one can be made of an event whose
/// application is not configured any more.
#[derive(Clone)]
pub struct DeadLetterRules {
    topic: Arc<str>,
    mode: EventMode,
    journal_key: Option<Arc<ContentKey>>,
}

impl DeadLetterRules {
    /// The same rules for the dead letter of a record, which goes to the topic beside the record's.
    #[must_use]
    pub fn dead_letters_without_policy(self, record: &Record) -> Self {
        let prefix = record.topic.strip_suffix(&*format!(".{}.v1", record.entity.name()));
        let topic = prefix.map(|prefix| Arc::clone(Topics::with_prefix(prefix).of(Entity::DeadLetter)));
        Self { topic: topic.unwrap_or(self.topic), ..self }
    }

    /// Where dead letters go.
    pub(super) const fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The form of the CloudEvents.
    pub(super) const fn mode(&self) -> EventMode {
        self.mode
    }

    /// What seals an original that cannot be shown.
    pub(super) fn journal_key(&self) -> Option<&ContentKey> {
        self.journal_key.as_deref()
    }
}

impl Policy {
    /// How the dead letters of this application are made.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterRules {
        DeadLetterRules {
            topic: Arc::clone(self.topics.of(Entity::DeadLetter)),
            mode: self.mode,
            journal_key: self.journal_keys.first().map(Arc::clone),
        }
    }
}

/// What becomes of a password that IDaaS sends.
#[derive(Clone)]
pub enum Passwords {
    /// It is forgotten.
    Drop,
    /// It is published on the credential topic, sealed with this key.
    Seal(Arc<ContentKey>),
}

/// How a CloudEvent is laid out in a Kafka record (CloudEvents Kafka protocol binding 1.0.2 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventMode {
    /// Attributes are headers, the value is the data (§3.2).
    Binary,
    /// The value is the whole event as JSON (§3.3).
    Structured,
}

/// The topic of each entity.
#[derive(Clone)]
pub struct Topics([Arc<str>; Entity::ALL.len()]);

impl Topics {
    /// The topics under a prefix: `<prefix>.<entity>.v1`.
    #[must_use]
    pub fn with_prefix(prefix: &str) -> Self {
        Self(Entity::ALL.map(|entity| Arc::from(format!("{prefix}.{}.v1", entity.name()))))
    }

    /// The topic of an entity's records.
    #[must_use]
    pub fn of(&self, entity: Entity) -> &Arc<str> {
        entity.pick(&self.0)
    }
}
