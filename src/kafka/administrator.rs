//! Asks a cluster what the topics are, and creates those that are missing.
//!
//! Everything here blocks, for a bounded time. It must never change a topic that is there.

mod coordination;

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tokio::runtime::Runtime;

use super::producer::describe;
use super::settings::Cluster;
use super::topics::{Plan, Present, Settings, State, Wanted};
use super::trouble::{Away, Listener};

/// How long one question may take before what librdkafka complains of is looked at.
const GLANCE: Duration = Duration::from_millis(500);
/// How long the topics' settings may take. A cluster that does not know the question leaves it unanswered.
const SETTINGS: Duration = Duration::from_secs(3);
/// How long a created topic may take to be seen.
const PROPAGATION: Duration = Duration::from_secs(5);

/// Why there is no administrator: librdkafka refuses a property, in words that show no value.
#[derive(Debug)]
pub struct SettingsFault(String);

impl std::fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsFault {}

/// What the cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers {
    /// How many brokers it has.
    pub count: usize,
}

/// What became of a topic that was to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It is there now.
    Created,
    /// Somebody else was quicker.
    WasThere,
    /// The cluster refuses: problem, and remedy.
    Refused {
        /// In Kafka's words.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// A connection to a cluster, for questions about topics. Must be used and dropped on a thread that may block.
pub struct Administrator {
    listener: Listener,
    observer: BaseConsumer<Listener>,
    admin: AdminClient<Listener>,
    runtime: Runtime,
}

impl Administrator {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`SettingsFault`] where librdkafka refuses a property.
    pub fn new(cluster: &Cluster) -> Result<Self, SettingsFault> {
        let listener = Listener::default();
        let fault = |error: KafkaError| SettingsFault(describe(&error));
        let mut settings = cluster.observer();
        // A broker that hangs up is what a wrong "security.protocol" looks like, and must be heard.
        settings.set("log.connection.close", "true").set_log_level(RDKafkaLogLevel::Info);
        let observer = BaseConsumer::from_config_and_context(&settings, listener.clone()).map_err(fault)?;
        let admin = AdminClient::from_config_and_context(&settings, listener.clone()).map_err(fault)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| SettingsFault(error.to_string()))?;
        Ok(Self { listener, observer, admin, runtime })
    }

    /// Waits until the cluster answers.
    ///
    /// # Errors
    /// [`Away`] where it does not within `limit`, or says no.
    pub fn reach(&self, limit: Duration) -> Result<Brokers, Away> {
        let end = Instant::now() + limit;
        loop {
            // The answer names the brokers whether or not the topic is there; one without a topic would list them all.
            let answer = self.observer.fetch_metadata(Some("idaas"), GLANCE.min(limit));
            // Serves the error callback, and nothing else: nothing is assigned.
            while self.observer.poll(Duration::ZERO).is_some() {}
            match answer {
                Ok(metadata) => return Ok(Brokers { count: metadata.brokers().len() }),
                Err(_) if Instant::now() >= end || self.listener.is_decided() => return Err(self.listener.away()),
                Err(_) => {}
            }
        }
    }

    /// What the topics of `plan` are, in its order.
    ///
    /// # Errors
    /// [`Away`] where the cluster does not answer within `limit`.
    pub fn observe(&self, plan: &Plan, limit: Duration) -> Result<Vec<State>, Away> {
        let mut states = self.presence(plan, limit)?;
        self.add_settings(plan, &mut states);
        Ok(states)
    }

    /// As [`Administrator::observe`], without the topics' settings, which can take longer.
    ///
    /// # Errors
    /// As [`Administrator::observe`].
    pub fn presence(&self, plan: &Plan, limit: Duration) -> Result<Vec<State>, Away> {
        let end = Instant::now() + limit;
        self.reach(limit)?;
        let mut states = Vec::with_capacity(plan.topics.len());
        for wanted in &plan.topics {
            let rest = end.saturating_duration_since(Instant::now()).max(GLANCE);
            states.push(self.state(wanted, rest).ok_or_else(|| self.listener.away())?);
        }
        Ok(states)
    }

    fn state(&self, wanted: &Wanted, limit: Duration) -> Option<State> {
        let metadata = self.observer.fetch_metadata(Some(&wanted.name), limit).ok()?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == wanted.name);
        Some(topic.map_or(State::Missing, state))
    }

    /// Asks for the settings of the topics that are there.
    fn add_settings(&self, plan: &Plan, states: &mut [State]) {
        let present: Vec<_> = plan
            .topics
            .iter()
            .zip(states.iter_mut())
            .filter_map(|(wanted, state)| match state {
                State::Present(present) => Some((wanted, present)),
                State::Missing | State::Hidden | State::Unreadable(_) => None,
            })
            .collect();
        let asked: Vec<_> = present.iter().map(|(wanted, _)| ResourceSpecifier::Topic(&wanted.name)).collect();
        if asked.is_empty() {
            return;
        }
        let options = AdminOptions::new().request_timeout(Some(SETTINGS));
        let answers = self.runtime.block_on(self.admin.describe_configs(&asked, &options));
        match answers {
            Ok(answers) => {
                for ((_, present), answer) in present.into_iter().zip(answers) {
                    present.settings = answer.map(|resource| settings(&resource)).map_err(unknown);
                }
            }
            Err(error) => {
                let why = error.rdkafka_error_code().map_or_else(|| error.to_string(), unknown);
                for (_, present) in present {
                    present.settings = Err(why.clone());
                }
            }
        }
    }

    /// Creates the topics of `wanted`, and waits until they are seen. Says what became of each, in their order.
    ///
    /// # Errors
    /// [`Away`] where the cluster does not answer within `limit`.
    pub fn create(&self, wanted: &[&Wanted], limit: Duration) -> Result<Vec<Creation>, Away> {
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
        let options = AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit));
        let creations: Vec<_> = match self.runtime.block_on(self.admin.create_topics(&topics, &options)) {
            Ok(results) => results.into_iter().map(|result| creation(result.err().map(|(_, code)| code))).collect(),
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                wanted.iter().map(|_| creation(Some(code))).collect()
            }
        };
        self.wait_for(wanted, &creations);
        Ok(creations)
    }

    fn wait_for(&self, wanted: &[&Wanted], creations: &[Creation]) {
        let end = Instant::now() + PROPAGATION;
        let mut unseen: Vec<_> = wanted
            .iter()
            .zip(creations)
            .filter(|(_, made)| **made == Creation::Created)
            .map(|(wanted, _)| wanted)
            .collect();
        while !unseen.is_empty() && Instant::now() < end {
            unseen.retain(|wanted| match self.state(wanted, GLANCE) {
                Some(State::Present(present)) => present.leaderless > 0,
                Some(State::Missing | State::Hidden | State::Unreadable(_)) | None => true,
            });
            if !unseen.is_empty() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
fn state(topic: &MetadataTopic) -> State {
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => return State::Missing,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return State::Hidden,
        // Told while all partitions elect their leaders; the partitions say it better.
        Some(RDKafkaErrorCode::LeaderNotAvailable) if !topic.partitions().is_empty() => {}
        Some(code) => return State::Unreadable(code.to_string()),
    }
    let partitions = topic.partitions();
    State::Present(Present {
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication: partitions
            .iter()
            .map(|partition| i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX))
            .min()
            .unwrap_or_default(),
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count(),
        settings: Err("not asked for".to_owned()),
    })
}

fn settings(resource: &ConfigResource) -> Settings {
    let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
    Settings {
        min_insync_replicas: value("min.insync.replicas").and_then(|value| value.parse().ok()),
        cleanup_policy: value("cleanup.policy"),
        max_message_bytes: value("max.message.bytes").and_then(|value| value.parse().ok()),
    }
}

/// Why settings are not known.
#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
fn unknown(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "this user may not read them (DESCRIBE_CONFIGS)".to_owned()
        }
        RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::OperationTimedOut => {
            "this cluster does not tell them".to_owned()
        }
        other => other.to_string(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
fn creation(code: Option<RDKafkaErrorCode>) -> Creation {
    let Some(code) = code else { return Creation::Created };
    let remedy = match code {
        RDKafkaErrorCode::TopicAlreadyExists => return Creation::WasThere,
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "the cluster has fewer brokers than topics.replication_factor: start the others, or lower it"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "give the user of [kafka.properties] CREATE on the topic, or have somebody create it who may"
        }
        RDKafkaErrorCode::PolicyViolation => {
            "the cluster's create.topic.policy refuses it: agree topics.partitions and topics.replication_factor with \
             those who run it"
        }
        RDKafkaErrorCode::UnsupportedFeature => "create it by the means of this cluster",
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => {
            "try again; see that a controller runs"
        }
        _ => "see the controller's log",
    };
    Creation::Refused { problem: code.to_string(), remedy }
}
