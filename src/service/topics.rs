//! The topics, as the running service sees to them: created where that is asked for, reported where they are wrong.
//!
//! Never a reason not to start: while Kafka is away the question is asked again, in the background.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::bridge::Bridge;
use crate::config::Config;
use crate::kafka::administrator::{Administrator, Creation};
use crate::kafka::settings::Cluster;
use crate::kafka::topics::{Plan, Severity, State, Wanted, differences};

/// How long the cluster may take for one attempt, and how long to wait before the next.
const PATIENCE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(10);

/// What has to be seen to.
pub(super) struct Care {
    plan: Plan,
    cluster: Cluster,
    create: bool,
    configuration: PathBuf,
}

impl Care {
    pub(super) fn new(config: &Config, configuration: PathBuf) -> Arc<Self> {
        let (plan, cluster) = (Plan::of(config), super::assemble::cluster(config));
        Arc::new(Self { plan, cluster, create: config.topics.create, configuration })
    }

    /// Creates what is missing, where that is asked for. Says whether the cluster could be asked.
    pub(super) async fn create(self: Arc<Self>) -> bool {
        if !self.create {
            return true;
        }
        tokio::task::spawn_blocking(move || self.with_administrator(Self::create_missing)).await.unwrap_or(true)
    }

    /// Creates and reports, again and again until the cluster could be asked, or the service ends.
    pub(super) async fn persist(self: Arc<Self>, bridge: Arc<Bridge>) {
        while !bridge.is_draining() {
            let care = Arc::clone(&self);
            let look = move || {
                (!care.create || care.with_administrator(Self::create_missing)) && care.with_administrator(Self::report)
            };
            if tokio::task::spawn_blocking(look).await.unwrap_or(true) {
                return;
            }
            sleep(REST).await;
        }
    }

    fn with_administrator(&self, act: impl Fn(&Self, &Administrator) -> bool) -> bool {
        match Administrator::new(&self.cluster) {
            Ok(administrator) => act(self, &administrator),
            Err(fault) => {
                tracing::error!(code = "topics_not_checked", "the topics could not be looked at: {fault}");
                true
            }
        }
    }

    fn create_missing(&self, administrator: &Administrator) -> bool {
        let Ok(states) = administrator.presence(&self.plan, PATIENCE) else { return false };
        if states.contains(&State::Missing) {
            self.make(administrator, &states);
        }
        true
    }

    fn make(&self, administrator: &Administrator, states: &[State]) {
        let pairs = self.plan.topics.iter().zip(states);
        let missing: Vec<&Wanted> =
            pairs.filter(|(_, state)| **state == State::Missing).map(|(wanted, _)| wanted).collect();
        let Ok(creations) = administrator.create(&missing, PATIENCE) else { return };
        for (wanted, creation) in missing.iter().zip(creations) {
            let topic = wanted.name.as_str();
            match creation {
                Creation::Created => tracing::info!(
                    code = "topic_created",
                    topic,
                    partitions = wanted.partitions,
                    replication_factor = wanted.replication,
                    "created the topic"
                ),
                Creation::WasThere => {}
                Creation::Refused { problem, remedy } => {
                    tracing::error!(
                        code = "topic_not_created",
                        topic,
                        "the topic was not created: {problem}; {remedy}"
                    );
                }
            }
        }
    }

    fn report(&self, administrator: &Administrator) -> bool {
        let Ok(states) = administrator.observe(&self.plan, PATIENCE) else { return false };
        let configuration = self.configuration.display().to_string();
        for (wanted, state) in self.plan.topics.iter().zip(&states) {
            for difference in differences(wanted, state) {
                let (code, topic) = (difference.code(), wanted.name.as_str());
                let remedy = difference.remedy(topic, &configuration);
                match difference.severity() {
                    Severity::Wrong => tracing::error!(code, topic, "the topic {difference}; {remedy}"),
                    Severity::Notable => tracing::warn!(code, topic, "the topic {difference}; {remedy}"),
                }
            }
        }
        true
    }
}
