//! Reads the current content of Kafka: the entities in the state topics, and the records that an interrupted run has
//! published.
//!
//! Everything is read from the topics, so a run can be resumed on another machine. Blocks.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::summary::ByEntity;
use crate::kafka::client::settings::Cluster;
use crate::kafka::history::ReadFault;
use crate::kafka::history::scan::{Range, scan};
use idaas_callback::event_type::Entity;
use idaas_callback::policy::Topics;

/// Maximum duration of reading the topics.
const LIMIT: Duration = Duration::from_secs(1800);
/// The prefix of the `ce_id` of every fetched entity.
pub(super) const ID_PREFIX: &str = "fetch-";

/// The reason why the topics cannot be read.
#[derive(Debug)]
pub enum KnownFault {
    /// Kafka does not answer, or rejects the settings.
    Kafka(ReadFault),
    /// These topics do not exist.
    Missing(Vec<String>),
    /// A topic was not read to its end.
    Incomplete,
}

impl std::fmt::Display for KnownFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kafka(fault) => write!(f, "{fault}"),
            Self::Missing(topics) => {
                write!(f, "these topics do not exist, or this user may not see them: {}", topics.join(", "))
            }
            Self::Incomplete => f.write_str("the topics could not be read to the end"),
        }
    }
}

/// The entities of one application in the state topics.
#[derive(Default)]
pub(super) struct Known {
    entities: ByEntity<HashMap<String, Fingerprint>>,
}

impl Known {
    /// Reads the state topics that belong to the event topics.
    pub(super) fn read(
        cluster: &Cluster,
        topics: &Topics,
        application_id: &str,
        instance_id: &str,
    ) -> Result<Self, KnownFault> {
        let mut known = Self::default();
        for entity in ByEntity::<()>::ENTITIES {
            let Some(entities) = known.entities.get_mut(entity) else { continue };
            let topic = state_topic(topics, entity);
            let scanned = scan(cluster, &[topic], Range::Since(0), LIMIT, |seen| {
                let Some(id) = seen.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) else { return true };
                match State::parse(&seen.value, entity) {
                    Some(state) if state.is_of(application_id, instance_id) => {
                        entities.insert(id.to_owned(), state.fingerprint);
                    }
                    // A tombstone, or an entity that now belongs to another application.
                    Some(_) | None => drop(entities.remove(id)),
                }
                true
            });
            let scanned = scanned.map_err(KnownFault::Kafka)?;
            if !scanned.missing.is_empty() {
                return Err(KnownFault::Missing(scanned.missing));
            }
            if !scanned.complete {
                return Err(KnownFault::Incomplete);
            }
        }
        Ok(known)
    }

    /// Returns the number of known entities of this kind.
    pub(super) fn len(&self, entity: Entity) -> usize {
        self.entities.get(entity).map_or(0, HashMap::len)
    }

    /// Returns the ids of all known entities of this kind.
    pub(super) fn ids(&self, entity: Entity) -> impl Iterator<Item = &String> {
        self.entities.get(entity).into_iter().flat_map(HashMap::keys)
    }

    /// Returns true if the entity is known with every value in the record.
    pub(super) fn has(&self, entity: Entity, id: &str, record: &[u8]) -> bool {
        let known = self.entities.get(entity).and_then(|entities| entities.get(id));
        known.is_some_and(|known| Fingerprint::of_record(record, entity).is_some_and(|record| known.includes(&record)))
    }
}

/// Returns the ids of fetched records that were published since this time, in milliseconds since 1970.
pub(super) fn published(cluster: &Cluster, topics: &Topics, since: i64) -> Result<HashSet<String>, KnownFault> {
    let names: Vec<_> = ByEntity::<()>::ENTITIES.iter().map(|entity| topics.of(*entity).to_string()).collect();
    let mut ids = HashSet::new();
    let scanned = scan(cluster, &names, Range::Since(since), LIMIT, |seen| {
        match seen.header("ce_id") {
            Some(id) if id.starts_with(ID_PREFIX) => drop(ids.insert(id.to_owned())),
            Some(_) => {}
            // In structured mode, the id is in the value.
            None => ids.extend(structured_id(&seen.value).filter(|id| id.starts_with(ID_PREFIX))),
        }
        true
    });
    let scanned = scanned.map_err(KnownFault::Kafka)?;
    if scanned.complete { Ok(ids) } else { Err(KnownFault::Incomplete) }
}

fn structured_id(value: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        specversion: String,
        id: String,
    }
    let event: Event = serde_json::from_slice(value).ok()?;
    (!event.specversion.is_empty()).then_some(event.id)
}

/// Returns the state topic of an entity: `<prefix>.<entity>.state.v1`.
pub(super) fn state_topic(topics: &Topics, entity: Entity) -> String {
    let topic = topics.of(entity);
    format!("{}.state.v1", topic.strip_suffix(".v1").unwrap_or(topic))
}

/// The values of a state record that are used here.
struct State {
    application_id: String,
    instance_id: String,
    fingerprint: Fingerprint,
}

impl State {
    fn parse(value: &[u8], entity: Entity) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        let text = |name: &str| value.get("state")?.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            application_id: text("applicationId")?,
            instance_id: text("instanceId")?,
            fingerprint: Fingerprint::of(&value, entity)?,
        })
    }

    fn is_of(&self, application_id: &str, instance_id: &str) -> bool {
        self.application_id == application_id && self.instance_id == instance_id
    }
}

/// A compact representation of an entity's values: for each field, a hash of its name and a hash of its value,
/// sorted. Used only for counting, so a collision is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint(Box<[(u32, u32)]>);

impl Fingerprint {
    /// Creates the fingerprint of a record's value in binary or structured mode.
    fn of_record(record: &[u8], entity: Entity) -> Option<Self> {
        let value: Value = serde_json::from_slice(record).ok()?;
        let data = if value.get("specversion").is_some() { value.get("data")? } else { &value };
        Self::of(data, entity)
    }

    fn of(value: &Value, entity: Entity) -> Option<Self> {
        let mut leaves = Vec::new();
        let fields = value.get(member(entity)?)?.as_object()?;
        for (name, field) in fields {
            match (name.as_str(), field) {
                ("members", Value::Array(members)) => {
                    let mut ids: Vec<_> = members.iter().filter_map(|member| member.get("id")?.as_str()).collect();
                    ids.sort_unstable();
                    leaves.push((hash(name), hash(&ids.join("\n"))));
                }
                (_, Value::Object(parts)) => {
                    let leaf =
                        |(part, value): (&String, &Value)| (hash(&format!("{name}.{part}")), hash(&value.to_string()));
                    leaves.extend(parts.iter().map(leaf));
                }
                (_, field) => leaves.push((hash(name), hash(&field.to_string()))),
            }
        }
        let additional = value.get("additional").and_then(Value::as_object).into_iter().flatten();
        leaves.extend(additional.map(|(name, value)| (hash(&format!("additional.{name}")), hash(&value.to_string()))));
        leaves.sort_unstable();
        Some(Self(leaves.into()))
    }

    fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|leaf| self.0.binary_search(leaf).is_ok())
    }
}

/// Returns the member of a record's value that contains the entity.
const fn member(entity: Entity) -> Option<&'static str> {
    match entity {
        Entity::User => Some("user"),
        Entity::OrganizationalUnit => Some("organizationalUnit"),
        Entity::Group => Some("group"),
        Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => None,
    }
}

fn hash(text: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // Half of the hash is sufficient.
    u32::try_from(hasher.finish() & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_is_unchanged_if_the_state_has_all_its_values() {
        let state = r#"{"user":{"id":"u","username":"a","email":{"address":"x","verified":true},"organizationalUnits":[]},
            "additional":{"new":1},"state":{"applicationId":"app_a","instanceId":"i"}}"#;
        let state = State::parse(state.as_bytes(), Entity::User).unwrap();
        assert!(state.is_of("app_a", "i") && !state.is_of("app_b", "i"));
        for (record, same) in [
            (r#"{"user":{"id":"u","email":{"verified":true}},"additional":{"new":1}}"#, true),
            (r#"{"user":{"id":"u","email":{"verified":false}}}"#, false),
            (r#"{"user":{"id":"u","displayName":"A"}}"#, false),
            (r#"{"specversion":"1.0","id":"fetch-1","data":{"user":{"id":"u","username":"a"}}}"#, true),
        ] {
            let record = Fingerprint::of_record(record.as_bytes(), Entity::User).unwrap();
            assert_eq!(state.fingerprint.includes(&record), same, "{record:?}");
        }
    }

    #[test]
    fn members_are_compared_by_their_ids() {
        let state = r#"{"group":{"id":"g","members":[{"id":"b","since":"t"},{"id":"a","name":"A"}]},
            "state":{"applicationId":"a","instanceId":"i"}}"#;
        let state = State::parse(state.as_bytes(), Entity::Group).unwrap();
        let same = |record: &str| {
            state.fingerprint.includes(&Fingerprint::of_record(record.as_bytes(), Entity::Group).unwrap())
        };
        assert!(same(r#"{"group":{"id":"g","members":[{"id":"a"},{"id":"b"}]}}"#));
        assert!(!same(r#"{"group":{"id":"g","members":[{"id":"a"}]}}"#));
    }
}
