//! Creates the topics if configured, and reports topics that differ from the configuration.
//!
//! Problems never prevent the start: while Kafka is unavailable, the check is retried in the background. Afterwards the
//! topics are checked once a minute, because other tools can change them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::app_state::AppState;
use crate::config::Config;
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topic_drift::compare::differences;
use crate::kafka::admin::topic_drift::{Difference, Severity};
use crate::kafka::admin::topics::{ExistingTopic, State, TopicSettings, WantedTopic};
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;

/// Limit for one request to the cluster, and time before the next attempt.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Time between checks of the topics.
const INTERVAL: Duration = Duration::from_secs(60);

/// Creates missing topics and compares all topics with the configuration.
pub(super) struct TopicReconciler {
    settings: Mutex<Arc<TopicSettings>>,
    cluster: Mutex<Cluster>,
    create: bool,
    configuration: PathBuf,
    /// True while missing topics are still to be created: after the start and after a reload. A topic that is deleted
    /// later is not created again.
    creating: AtomicBool,
    /// Ends the wait between checks.
    changed: Notify,
    reported: Mutex<ReportedDifferences>,
}

/// The result of the last check.
#[derive(Default)]
struct ReportedDifferences {
    /// Topics and the codes of their differences. Each is reported once, until it is gone.
    reported: BTreeSet<(String, &'static str)>,
    /// Topics whose creation was rejected. Each is reported once, until it is created.
    not_created: BTreeSet<String>,
    partitions: BTreeMap<String, i32>,
}

/// Changes since the last check.
#[derive(Debug, PartialEq, Eq)]
struct TopicReport {
    /// Topics, each with a difference that it did not have before.
    differences: Vec<(String, Difference)>,
    /// Topics with more partitions than before: name, before, now.
    grown: Vec<(String, i32, i32)>,
}

impl ReportedDifferences {
    fn update(&mut self, settings: &TopicSettings, states: &[State]) -> TopicReport {
        let mut report = TopicReport { differences: Vec::new(), grown: Vec::new() };
        let mut reported = BTreeSet::new();
        for (wanted, state) in settings.topics.iter().zip(states) {
            for difference in differences(wanted, state) {
                let episode = (wanted.name.clone(), difference.code());
                if !self.reported.contains(&episode) && !reported.contains(&episode) {
                    report.differences.push((wanted.name.clone(), difference));
                }
                reported.insert(episode);
            }
            if let State::Present(ExistingTopic { partitions, .. }) = state {
                let before = self.partitions.insert(wanted.name.clone(), *partitions);
                let grown = before.filter(|before| before < partitions);
                report.grown.extend(grown.map(|before| (wanted.name.clone(), before, *partitions)));
            }
        }
        self.reported = reported;
        report
    }
}

impl TopicReconciler {
    pub(super) fn new(config: &Config, configuration: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            settings: Mutex::new(Arc::new(TopicSettings::of(config))),
            cluster: Mutex::new(super::wiring::cluster(config)),
            create: config.topics.create,
            configuration,
            creating: AtomicBool::new(config.topics.create),
            changed: Notify::new(),
            reported: Mutex::default(),
        })
    }

    /// Uses the topics of another configuration from now on. A new application can have its own topic prefix.
    pub(super) fn rescope(&self, config: &Config) {
        *self.settings.lock() = Arc::new(TopicSettings::of(config));
        self.creating.store(self.create, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Uses other settings from now on, or the same settings with changed files or passwords.
    pub(super) fn replace_kafka_clients(&self, cluster: Cluster) {
        *self.cluster.lock() = cluster;
    }

    /// Creates missing topics, if configured. Returns false if the cluster could not be asked.
    pub(super) async fn create(self: Arc<Self>) -> bool {
        if !self.create {
            return true;
        }
        tokio::task::spawn_blocking(move || self.with_administrator(Self::create_missing)).await.unwrap_or(true)
    }

    /// Creates missing topics and reports differences, until the shutdown.
    pub(super) async fn run_until_shutdown(self: Arc<Self>, app_state: Arc<AppState>) {
        while !app_state.is_draining() {
            let topic_reconciler = Arc::clone(&self);
            let check = move || {
                let create = topic_reconciler.creating.load(Ordering::Relaxed);
                let is_complete = !create || topic_reconciler.with_administrator(Self::create_missing);
                topic_reconciler.with_administrator(Self::report) && is_complete
            };
            let is_complete = tokio::task::spawn_blocking(check).await.unwrap_or(true);
            // A timeout is the usual end of this wait.
            let _ = timeout(if is_complete { INTERVAL } else { RETRY_INTERVAL }, self.changed.notified()).await;
        }
    }

    fn with_administrator(&self, act: impl Fn(&Self, &Administrator) -> bool) -> bool {
        let cluster = self.cluster.lock().clone();
        match Administrator::new(&cluster) {
            Ok(administrator) => act(self, &administrator),
            Err(fault) => {
                if self.reported.lock().reported.insert((String::new(), "topics_not_checked")) {
                    tracing::error!(
                        code = LogCode::TopicsNotChecked.as_str(),
                        "the topics could not be checked: {fault}"
                    );
                }
                true
            }
        }
    }

    /// Creates missing topics. Returns false if it has to be repeated: the cluster does not answer, or rejects a topic,
    /// for example because too few of its brokers have started.
    fn create_missing(&self, administrator: &Administrator) -> bool {
        let settings = Arc::clone(&self.settings.lock());
        // First, because a reload can set it again in the meantime.
        self.creating.store(false, Ordering::Relaxed);
        let states = administrator.presence(&settings, REQUEST_TIMEOUT);
        let is_complete = states.is_ok_and(|states| self.create_topics(&settings, administrator, &states));
        if !is_complete {
            self.creating.store(true, Ordering::Relaxed);
        }
        is_complete
    }

    fn create_topics(&self, settings: &TopicSettings, administrator: &Administrator, states: &[State]) -> bool {
        let pairs = settings.topics.iter().zip(states);
        let missing: Vec<&WantedTopic> =
            pairs.filter(|(_, state)| **state == State::Missing).map(|(wanted, _)| wanted).collect();
        self.reported.lock().not_created.retain(|topic| missing.iter().any(|wanted| wanted.name == *topic));
        if missing.is_empty() {
            return true;
        }
        let Ok(creations) = administrator.create(&missing, REQUEST_TIMEOUT) else { return false };
        let not_created = &mut self.reported.lock().not_created;
        for (wanted, creation) in missing.iter().zip(creations) {
            let topic = wanted.name.as_str();
            match creation {
                Creation::Created => {
                    not_created.remove(topic);
                    tracing::info!(
                        code = LogCode::TopicCreated.as_str(),
                        topic,
                        partitions = wanted.partitions,
                        replication_factor = wanted.replication,
                        "created the topic"
                    );
                }
                Creation::AlreadyExists => drop(not_created.remove(topic)),
                Creation::Rejected { diagnosis, .. } if not_created.insert(topic.to_owned()) => {
                    tracing::error!(
                        code = LogCode::TopicNotCreated.as_str(),
                        topic,
                        "the topic was not created, which is tried again: {diagnosis}"
                    );
                }
                Creation::Rejected { .. } => {}
            }
        }
        not_created.is_empty()
    }

    fn report(&self, administrator: &Administrator) -> bool {
        let settings = Arc::clone(&self.settings.lock());
        let Ok(states) = administrator.observe(&settings, REQUEST_TIMEOUT) else { return false };
        let report = self.reported.lock().update(&settings, &states);
        let configuration = self.configuration.display().to_string();
        for (topic, difference) in report.differences {
            let (code, topic) = (difference.code(), topic.as_str());
            let remedy = difference.remedy(&[topic], &configuration);
            match difference.severity() {
                Severity::Wrong => tracing::error!(code, topic, "the topic {difference}; {remedy}"),
                Severity::Notable => tracing::warn!(code, topic, "the topic {difference}; {remedy}"),
            }
        }
        for (topic, before, partitions) in report.grown {
            tracing::warn!(
                code = LogCode::PartitionsChanged.as_str(),
                topic,
                before,
                partitions,
                "the topic has more partitions than before: entities are in other partitions now, so consumers can see \
                 an entity's later events before its earlier ones"
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use idaas_callback::event_type::Entity;

    use super::*;
    use crate::kafka::admin::topics::{Cleanup, Unknown};

    fn settings() -> TopicSettings {
        let topic = |name: &str| WantedTopic {
            name: name.to_owned(),
            entity: Entity::User,
            partitions: 3,
            partitions_of: None,
            replication: 2,
            cleanup: Cleanup::Delete,
            max_message_bytes: 1,
            retention: None,
        };
        TopicSettings { topics: vec![topic("a"), topic("b")] }
    }

    fn present(partitions: i32) -> State {
        State::Present(ExistingTopic {
            partitions,
            replication: 2,
            in_sync: Some(2),
            leaderless: 0,
            leaders: Vec::new(),
            settings: Err(Unknown::NotSupported),
        })
    }

    #[test]
    fn a_difference_is_news_once_until_it_is_gone() {
        let (settings, mut reported) = (settings(), ReportedDifferences::default());
        let mut report = |states: [State; 2]| reported.update(&settings, &states).differences.len();
        let good = || [present(3), present(3)];
        assert_eq!(report(good()), 0);
        assert_eq!(report([State::Missing, present(3)]), 1);
        assert_eq!(report([State::Missing, State::Missing]), 1, "only the second topic is news");
        assert_eq!(report([State::Missing, State::Missing]), 0);
        assert_eq!(report(good()), 0);
        assert_eq!(report([State::Missing, present(3)]), 1, "another episode");
    }

    #[test]
    fn partitions_that_were_added_are_news_once() {
        let (settings, mut reported) = (settings(), ReportedDifferences::default());
        let mut grown = |partitions: i32| reported.update(&settings, &[present(3), present(partitions)]).grown;
        assert_eq!(grown(3), []);
        assert_eq!(grown(6), [("b".to_owned(), 3, 6)]);
        assert_eq!(grown(6), []);
    }
}
