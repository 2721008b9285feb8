//! The state topics: their names, and their settings, which differ from those of event topics.

use std::collections::BTreeSet;

use super::{Cleanup, State, TopicSettings, WantedTopic};
use crate::config::Config;
use idaas_callback::event_type::Entity;
use idaas_callback::policy::Topics;

/// An event topic, and the state topic that is derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPair {
    /// The entity that the records describe.
    pub entity: idaas_state::Entity,
    /// The event topic.
    pub events: String,
    /// The state topic.
    pub states: String,
}

/// Pairs the event topics with their state topics: three for each prefix.
#[must_use]
pub fn state_pairs(config: &Config) -> Vec<TopicPair> {
    let pairs = prefixes(config).into_iter().flat_map(|prefix| {
        let events = Topics::with_prefix(prefix);
        idaas_state::Entity::ALL.map(|entity| TopicPair {
            entity,
            events: events.of(event_entity(entity)).to_string(),
            states: format!("{prefix}.{}.state.v1", entity.name()),
        })
    });
    pairs.collect()
}

/// Returns the prefixes of the applications.
pub(super) fn prefixes(config: &Config) -> BTreeSet<&str> {
    config.applications.iter().map(|application| config.topic_prefix(application)).collect()
}

const fn event_entity(entity: idaas_state::Entity) -> Entity {
    match entity {
        idaas_state::Entity::User => Entity::User,
        idaas_state::Entity::OrganizationalUnit => Entity::OrganizationalUnit,
        idaas_state::Entity::Group => Entity::Group,
    }
}

impl TopicSettings {
    /// Returns the topics that `serve` publishes to and, if `[state]` is configured, the state topics.
    #[must_use]
    pub fn with_states(config: &Config) -> Self {
        let mut plan = Self::of(config);
        if config.state.is_some() {
            plan.topics.extend(Self::of_states(config).topics);
        }
        plan
    }

    /// Demands that each state topic of this plan has as many partitions as its event topic, if that exists: the state
    /// of an event's entity is in the partition of the same number. `states` has the order of the plan.
    pub fn follow_events(&mut self, config: &Config, states: &[State]) {
        let partitions: Vec<(&str, i32)> = self
            .topics
            .iter()
            .zip(states)
            .filter_map(|(wanted, state)| match state {
                State::Present(present) => Some((wanted.name.as_str(), present.partitions)),
                State::Missing | State::Hidden | State::Unreadable(_) => None,
            })
            .collect();
        let mut followed = Vec::new();
        for pair in state_pairs(config) {
            let events = partitions.iter().find(|(name, _)| *name == pair.events);
            followed.extend(events.map(|(_, partitions)| (pair, *partitions)));
        }
        for wanted in &mut self.topics {
            if let Some((pair, partitions)) = followed.iter().find(|(pair, _)| pair.states == wanted.name) {
                wanted.partitions = *partitions;
                wanted.partitions_of = Some(pair.events.clone());
            }
        }
    }

    /// Returns the state topics, whether or not `[state]` is configured.
    #[must_use]
    pub fn of_states(config: &Config) -> Self {
        let wanted = |pair: TopicPair| WantedTopic {
            name: pair.states,
            entity: event_entity(pair.entity),
            partitions: config.topics.partitions,
            partitions_of: None,
            replication: config.topics.replication_factor,
            cleanup: Cleanup::Compact,
            max_message_bytes: config.kafka.max_state_bytes(),
            retention: None,
        };
        Self { topics: state_pairs(config).into_iter().map(wanted).collect() }
    }
}
