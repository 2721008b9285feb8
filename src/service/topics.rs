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

    /// Sees to the topics once. Says whether the cluster could be asked.
    pub(super) async fn attempt(self: Arc<Self>) -> bool {
        tokio::task::spawn_blocking(move || self.look()).await.unwrap_or(true)
    }

    /// Sees to the topics until the cluster could be asked, or the service ends.
    pub(super) async fn persist(self: Arc<Self>, bridge: Arc<Bridge>) {
        while !bridge.is_draining() && !Arc::clone(&self).attempt().await {
            sleep(REST).await;
        }
    }

    fn look(&self) -> bool {
        let administrator = match Administrator::new(&self.cluster) {
            Ok(administrator) => administrator,
            Err(fault) => {
                tracing::error!(code = "topics_not_checked", "the topics could not be looked at: {fault}");
                return true;
            }
        };
        let Ok(mut states) = administrator.observe(&self.plan, PATIENCE) else { return false };
        if self.create && states.contains(&State::Missing) {
            self.make(&administrator, &states);
            match administrator.observe(&self.plan, PATIENCE) {
                Ok(after) => states = after,
                Err(_) => return false,
            }
        }
        self.report(&states);
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

    fn report(&self, states: &[State]) {
        let configuration = self.configuration.display().to_string();
        for (wanted, state) in self.plan.topics.iter().zip(states) {
            for difference in differences(wanted, state) {
                let (code, topic) = (difference.code(), wanted.name.as_str());
                let remedy = difference.remedy(topic, &configuration);
                match difference.severity() {
                    Severity::Wrong => tracing::error!(code, topic, "the topic {difference}; {remedy}"),
                    Severity::Notable => tracing::warn!(code, topic, "the topic {difference}; {remedy}"),
                }
            }
        }
    }
}
