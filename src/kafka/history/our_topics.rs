//! The scope: the topics that this configuration publishes to, and the applications whose events they hold. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use idaas_callback::event_type::Entity;
use idaas_callback::policy::Passwords;

use crate::config::Config;
use crate::kafka::admin::topics::TopicSettings;

/// The topics to read, and the applications whose events count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    topics: HashMap<Arc<str>, Entity>,
    applications: HashMap<String, OurApplication>,
}

/// One of our applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OurApplication {
    /// Its number among the applications, sorted by id.
    pub(super) number: usize,
    /// True if passwords are encrypted, so that some events consist of two records.
    pub(super) seals: bool,
}

impl Scope {
    /// Returns the topics and applications of this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let topics = TopicSettings::of(config).topics.into_iter().map(|wanted| (wanted.name.into(), wanted.entity));
        let seals = |passwords: &Passwords| match passwords {
            Passwords::Seal(_) => true,
            Passwords::Drop => false,
        };
        let applications = config.applications.iter();
        let applications = applications.map(|application| (application.id.clone(), seals(&application.passwords)));
        Self { topics: topics.collect(), applications: number_applications(applications) }
    }

    /// Creates a scope of these topics and applications. The value for an application is true if it encrypts
    /// passwords.
    #[must_use]
    pub fn new(topics: HashMap<String, Entity>, applications: HashMap<String, bool>) -> Self {
        let topics = topics.into_iter().map(|(name, entity)| (name.into(), entity)).collect();
        Self { topics, applications: number_applications(applications) }
    }

    /// Returns the names of the topics.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// Returns the names of the topics.
    pub(super) fn topic_names(&self) -> Vec<Arc<str>> {
        self.topics().cloned().collect()
    }

    /// Returns true if this scope contains everything that is in `other`, so that topics that were read with this one
    /// need not be read again.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.topics.iter().all(|(name, entity)| self.topics.get(name) == Some(entity))
            && other.applications.iter().all(|(id, of)| self.application(id).is_some_and(|ours| ours.seals == of.seals))
    }

    /// Returns a topic's name, and the entity that its records describe. `None` if it is not ours.
    pub(super) fn topic(&self, name: &str) -> Option<(&Arc<str>, Entity)> {
        self.topics.get_key_value(name).map(|(name, entity)| (name, *entity))
    }

    /// Returns an application by its id. `None` if it is not ours.
    pub(super) fn application(&self, id: &str) -> Option<OurApplication> {
        self.applications.get(id).copied()
    }

    /// Returns the ids of the applications, each with its number.
    pub(super) fn applications(&self) -> impl Iterator<Item = (&str, usize)> {
        self.applications.iter().map(|(id, ours)| (id.as_str(), ours.number))
    }
}

fn number_applications(applications: impl IntoIterator<Item = (String, bool)>) -> HashMap<String, OurApplication> {
    let sorted: BTreeMap<String, bool> = applications.into_iter().collect();
    (0..).zip(sorted).map(|(number, (id, seals))| (id, OurApplication { number, seals })).collect()
}

/// The current scope, shared by all readers of topics. A reload replaces it.
#[derive(Clone)]
pub struct LiveScope(Arc<ArcSwap<Scope>>);

impl LiveScope {
    /// Creates it with this scope.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(scope)))
    }

    /// Returns the current scope.
    #[must_use]
    pub fn load(&self) -> Arc<Scope> {
        self.0.load_full()
    }

    /// Replaces the scope.
    pub fn store(&self, scope: Scope) {
        self.0.store(Arc::new(scope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_itself_and_less_but_nothing_that_is_new() {
        let of = |topics: &[&str], applications: &[(&str, bool)]| {
            let topics = topics.iter().map(|name| ((*name).to_owned(), Entity::User));
            Scope::new(topics.collect(), applications.iter().map(|(id, seals)| ((*id).to_owned(), *seals)).collect())
        };
        let both = of(&["a", "b"], &[("one", false), ("two", true)]);
        assert!(both.covers(&both) && both.covers(&of(&["a"], &[("two", true)])));
        assert!(!both.covers(&of(&["c"], &[])) && !both.covers(&of(&[], &[("three", false)])));
        assert!(!both.covers(&of(&[], &[("one", true)])));
    }
}
