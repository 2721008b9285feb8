//! Finds missing topics. Blocks.

use std::time::Duration;

use super::{RunFault, RunSettings};
use crate::fetch::known::state_topic;
use crate::fetch::summary::ByEntity;
use crate::kafka::admin::administrator::Administrator;
use crate::kafka::admin::topics::{State, TopicSettings, WantedTopic};
use idaas_callback::event_type::Entity;

/// Timeout for Kafka's answer.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns the topics that the run publishes to and that do not exist.
pub(super) fn missing_event_topics(settings: &RunSettings) -> Result<Vec<String>, RunFault> {
    let entities = ByEntity::<()>::ENTITIES.into_iter().chain([Entity::DeadLetter]);
    missing(settings, entities.map(|entity| (entity, settings.policy.topics.of(entity).to_string())))
}

/// Returns the state topics that do not exist.
pub(super) fn missing_state_topics(settings: &RunSettings) -> Result<Vec<String>, RunFault> {
    let entities = ByEntity::<()>::ENTITIES.into_iter();
    missing(settings, entities.map(|entity| (entity, state_topic(&settings.policy.topics, entity))))
}

fn missing(settings: &RunSettings, names: impl Iterator<Item = (Entity, String)>) -> Result<Vec<String>, RunFault> {
    let like = |entity: Entity, name: String| {
        let wanted = settings.topics.topics.iter().find(|wanted| wanted.entity == entity)?;
        Some(WantedTopic { name, ..wanted.clone() })
    };
    let plan = TopicSettings { topics: names.filter_map(|(entity, name)| like(entity, name)).collect() };
    let administrator = Administrator::new(&settings.cluster).map_err(|fault| RunFault::Kafka(fault.to_string()))?;
    let states = administrator.presence(&plan, KAFKA_TIMEOUT).map_err(RunFault::Unreachable)?;
    let missing = plan.topics.into_iter().zip(&states).filter(|(_, state)| **state == State::Missing);
    Ok(missing.map(|(wanted, _)| wanted.name).collect())
}
