//! What is ours: the topics that this configuration publishes to, and the applications whose events they hold. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::topics::Plan;
use crate::config::{Config, Passwords};
use crate::prepare::event_type::Entity;

/// The topics to read, and whose events count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    topics: HashMap<Arc<str>, Entity>,
    /// By application id: whether its passwords are sealed, so that some of its events are made of two records.
    applications: HashMap<String, bool>,
}

impl Scope {
    /// What this configuration publishes: the topics of all of its applications, and those applications.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let topics = Plan::of(config).topics.into_iter().map(|wanted| (wanted.name.into(), wanted.entity));
        let seals = |passwords: &Passwords| match passwords {
            Passwords::Seal(_) => true,
            Passwords::Drop => false,
        };
        let applications = config.applications.iter();
        let applications =
            applications.map(|application| (application.id.clone(), seals(&application.passwords))).collect();
        Self { topics: topics.collect(), applications }
    }

    /// These topics and applications; of each application whether it seals passwords.
    #[must_use]
    pub fn new(topics: HashMap<String, Entity>, applications: HashMap<String, bool>) -> Self {
        Self { topics: topics.into_iter().map(|(name, entity)| (name.into(), entity)).collect(), applications }
    }

    /// The names of the topics.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// A topic's name, and what its records are about; `None` where it is not ours.
    pub(super) fn topic(&self, name: &str) -> Option<(&Arc<str>, Entity)> {
        self.topics.get_key_value(name).map(|(name, entity)| (name, *entity))
    }

    /// Whether an application seals passwords; `None` where it is not ours.
    pub(super) fn seals(&self, application_id: &str) -> Option<bool> {
        self.applications.get(application_id).copied()
    }
}
