//! The dispatcher's clients of Kafka: replaced when their settings change, or when another cluster answers.

use std::time::Duration;

use super::dispatcher::Dispatcher;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;

impl Dispatcher {
    /// Waits until another cluster answers at the same address.
    pub async fn until_cluster_replaced(&self) {
        self.executor.cluster_replaced.notified().await;
    }

    /// Takes the news of the id of the cluster that answers.
    pub fn cluster_seen(&self, id: &str) {
        if let Some(producer) = &*self.executor.producer.load() {
            producer.cluster_seen(id);
        }
    }

    /// Publishes with other settings from now on, or with other files or passwords behind the same settings. Records that
    /// the producer has stay with the old one; an event's next attempt and the lane's next event go to the new one only
    /// after their reports, so nothing is lost or reordered. Blocks.
    ///
    /// # Errors
    /// What librdkafka says of the settings, or that the cluster does not answer with them. Nothing has changed then.
    pub fn replace_clients(&self, cluster: &Cluster) -> Result<(), ProducerFault> {
        self.executor.producer.load_full().map_or(Ok(()), |producer| producer.replace(cluster))
    }

    /// Opens the producer's connections. Says which topics there are; `None` where the cluster does not answer in time.
    /// Blocks.
    #[must_use]
    pub fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        self.executor.producer.load_full()?.warm_up(limit)
    }
}
