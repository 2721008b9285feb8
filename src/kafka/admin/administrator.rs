//! Queries a cluster's topics, and creates missing ones.
//!
//! All functions block, for a bounded time. An existing topic must never be changed.

mod answers;
mod coordination;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResourceResult, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Runtime;

use self::answers::{code, creation, settings, state, unknown};
use super::brokers::{Broker, Observer, POLL_TIMEOUT};
use super::topics::{State, TopicSettings, Unknown, WantedTopic};
use crate::diagnosis::Diagnosis;
use crate::kafka::client::connection_error::{ErrorCollector, Unreachable};
use crate::kafka::client::error::{describe, rejected_property};
use crate::kafka::client::many_topics;
use crate::kafka::client::settings::Cluster;

/// Maximum duration of one request for the topics' settings. A cluster that does not support the request does not
/// answer it.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum time until a created topic is visible.
const PROPAGATION: Duration = Duration::from_secs(5);

/// librdkafka rejects a property. The text contains no value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsFault(String);

impl From<SettingsFault> for Diagnosis {
    fn from(SettingsFault(problem): SettingsFault) -> Self {
        rejected_property(problem)
    }
}

/// The brokers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers {
    /// The number of brokers.
    pub count: usize,
    /// The brokers, by their ids.
    pub list: Vec<Broker>,
}

/// The result of creating a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It was created.
    Created,
    /// The topic already exists, because another client has just created it.
    AlreadyExists,
    /// The cluster rejects the request.
    Rejected {
        /// The problem in Kafka's words, and what to do.
        diagnosis: Diagnosis,
        /// True if the user is not allowed to create it.
        forbidden: bool,
    },
}

/// A connection to a cluster, for administration of topics. Must be used and dropped on a thread that may block.
pub struct Administrator {
    observer: Observer,
    admin: AdminClient<ErrorCollector>,
    runtime: Runtime,
}

impl Administrator {
    /// Creates the client. Sends nothing yet.
    ///
    /// # Errors
    /// [`SettingsFault`] if librdkafka rejects a property.
    pub fn new(cluster: &Cluster) -> Result<Self, SettingsFault> {
        let fault = |error: KafkaError| SettingsFault(describe(&error));
        let observer = Observer::new(cluster).map_err(fault)?;
        let admin =
            AdminClient::from_config_and_context(&cluster.observer(), observer.listener.clone()).map_err(fault)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| SettingsFault(error.to_string()))?;
        Ok(Self { observer, admin, runtime })
    }

    /// Waits until the cluster answers.
    ///
    /// # Errors
    /// [`Unreachable`] if it does not answer within `limit`, or rejects the connection.
    pub fn reach(&self, limit: Duration) -> Result<Brokers, Unreachable> {
        let metadata = self.observer.answer(limit)?;
        let broker = |broker: &rdkafka::metadata::MetadataBroker| Broker {
            id: broker.id(),
            host: broker.host().to_owned(),
            port: broker.port(),
        };
        let mut list: Vec<_> = metadata.brokers().iter().map(broker).collect();
        list.sort_by_key(|broker| broker.id);
        Ok(Brokers { count: list.len(), list })
    }

    /// Returns true if a bootstrap server has answered. If [`Administrator::reach`] fails nevertheless, no broker
    /// answers at its advertised address.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.observer.has_answered()
    }

    /// Returns the state of the topics of `plan`, in the same order.
    ///
    /// # Errors
    /// [`Unreachable`] if the cluster does not answer within `limit`.
    pub fn observe(&self, plan: &TopicSettings, limit: Duration) -> Result<Vec<State>, Unreachable> {
        let mut states = self.presence(plan, limit)?;
        let names: Vec<_> = plan.topics.iter().map(|wanted| wanted.name.as_str()).collect();
        self.add_settings(&names, &mut states);
        Ok(states)
    }

    /// Like [`Administrator::observe`], without the topics' settings, which can take longer.
    ///
    /// # Errors
    /// See [`Administrator::observe`].
    pub fn presence(&self, plan: &TopicSettings, limit: Duration) -> Result<Vec<State>, Unreachable> {
        let end = Instant::now() + limit;
        self.reach(limit)?;
        let rest = || end.saturating_duration_since(Instant::now()).max(POLL_TIMEOUT);
        let names: Vec<_> = plan.topics.iter().map(|wanted| wanted.name.as_str()).collect();
        let list = || {
            let ours: HashSet<_> = names.iter().copied().collect();
            let metadata = self.observer.metadata(None, rest())?;
            let listed = metadata.topics().iter().filter(|topic| ours.contains(topic.name()));
            Ok(listed.map(|topic| (topic.name().to_owned(), state(topic))).collect())
        };
        many_topics::describe(&names, list, |name| self.state(name, rest()))
    }

    fn state(&self, name: &str, limit: Duration) -> Result<State, Unreachable> {
        let metadata = self.observer.metadata(Some(name), limit)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        Ok(topic.map_or(State::Missing, state))
    }

    /// Returns `max.message.bytes` of topics, in the same order. `None` if this user may not read it, or no broker
    /// answers.
    #[must_use]
    pub fn max_message_bytes(&self, names: &[&str]) -> Vec<Option<usize>> {
        let requested: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = self.describe_configs(&requested).unwrap_or_default();
        let mut limits: Vec<_> =
            answers.into_iter().map(|answer| settings(&answer.ok()?).ok()?.max_message_bytes).collect();
        limits.resize(names.len(), None);
        limits
    }

    /// Requests the settings of the topics that exist.
    fn add_settings(&self, names: &[&str], states: &mut [State]) {
        let present: Vec<_> = names
            .iter()
            .zip(states.iter_mut())
            .filter_map(|(name, state)| match state {
                State::Present(present) => Some((name, present)),
                State::Missing | State::Hidden | State::Unreadable(_) => None,
            })
            .collect();
        let requested: Vec<_> = present.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect();
        if requested.is_empty() {
            return;
        }
        match self.describe_configs(&requested) {
            Ok(answers) => {
                for ((_, present), answer) in present.into_iter().zip(answers) {
                    present.settings = answer.map_err(unknown).and_then(|resource| settings(&resource));
                }
            }
            Err(error) => {
                let why = code(&error).map_or_else(|| Unknown::Other(error.to_string()), unknown);
                for (_, present) in present {
                    present.settings = Err(why.clone());
                }
            }
        }
    }

    /// Requests settings, and once more if there is no answer: the first request also waits for a connection, which
    /// can lead to a broker that does not answer.
    fn describe_configs(&self, requested: &[ResourceSpecifier<'_>]) -> Result<Vec<ConfigResourceResult>, KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(SETTINGS_TIMEOUT));
        let request = || self.runtime.block_on(self.admin.describe_configs(requested, &options));
        request().or_else(|_| request())
    }

    /// Creates the topics of `wanted`, and waits until they are visible. Returns the result of each, in the same
    /// order.
    ///
    /// # Errors
    /// [`Unreachable`] if the cluster does not answer within `limit`.
    pub fn create(&self, wanted: &[&WantedTopic], limit: Duration) -> Result<Vec<Creation>, Unreachable> {
        let creations = self.request(wanted, limit, false)?;
        self.wait_for(wanted, &creations);
        Ok(creations)
    }

    /// Validates what [`Administrator::create`] would do: the cluster checks the request and creates nothing.
    ///
    /// # Errors
    /// See [`Administrator::create`].
    pub fn try_create(&self, wanted: &[&WantedTopic], limit: Duration) -> Result<Vec<Creation>, Unreachable> {
        self.request(wanted, limit, true)
    }

    fn request(&self, wanted: &[&WantedTopic], limit: Duration, only_try: bool) -> Result<Vec<Creation>, Unreachable> {
        self.reach(limit)?;
        let settings: Vec<_> = wanted.iter().map(|wanted| wanted.settings()).collect();
        let topics: Vec<_> = wanted
            .iter()
            .zip(&settings)
            .map(|(wanted, settings)| {
                let replication = TopicReplication::Fixed(wanted.replication);
                settings
                    .iter()
                    .fold(NewTopic::new(&wanted.name, wanted.partitions, replication), |topic, (name, value)| {
                        topic.set(name, value)
                    })
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit)).validate_only(only_try);
        Ok(match self.runtime.block_on(self.admin.create_topics(&topics, &options)) {
            Ok(results) => results.into_iter().map(|result| creation(result.err().map(|(_, code)| code))).collect(),
            Err(error) => {
                let code = code(&error).unwrap_or(RDKafkaErrorCode::Fail);
                wanted.iter().map(|_| creation(Some(code))).collect()
            }
        })
    }

    fn wait_for(&self, wanted: &[&WantedTopic], creations: &[Creation]) {
        let end = Instant::now() + PROPAGATION;
        let mut unseen: Vec<_> = wanted
            .iter()
            .zip(creations)
            .filter(|(_, made)| **made == Creation::Created)
            .map(|(wanted, _)| wanted)
            .collect();
        while !unseen.is_empty() && Instant::now() < end {
            unseen.retain(|wanted| match self.state(&wanted.name, POLL_TIMEOUT) {
                Ok(State::Present(present)) => present.leaderless > 0,
                Ok(State::Missing | State::Hidden | State::Unreadable(_)) | Err(_) => true,
            });
            if !unseen.is_empty() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::admin::topics::tests::wanted;
    use crate::kafka::embedded::mock_cluster;

    #[test]
    fn each_of_many_topics_has_its_own_state() {
        let cluster = mock_cluster(1).unwrap();
        let names: Vec<_> = (0..70).map(|number| format!("many.{number}")).collect();
        for (partitions, name) in (1..).zip(&names) {
            cluster.create_topic(name, partitions, 1).unwrap();
        }
        let administrator = Administrator::new(&Cluster::plain(&cluster.bootstrap_servers())).unwrap();
        let topics = names.iter().map(|name| WantedTopic { name: name.clone(), ..wanted() });
        let plan = TopicSettings { topics: topics.collect() };
        let states = administrator.presence(&plan, Duration::from_secs(30)).unwrap();
        let partitions = states.iter().map(|state| match state {
            State::Present(present) => present.partitions,
            State::Missing | State::Hidden | State::Unreadable(_) => 0,
        });
        assert_eq!(partitions.collect::<Vec<_>>(), (1..=70).collect::<Vec<_>>());
    }
}
