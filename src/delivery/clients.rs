//! The dispatcher's Kafka clients. They are replaced when their settings change, or when another cluster answers.

use std::sync::Arc;
use std::time::Duration;

use super::dispatcher::Dispatcher;
use crate::kafka::availability::acceptance::Acceptance;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;
use crate::kafka::producer::PreparedProducer;

impl Dispatcher {
    /// Waits until another cluster answers at the same address.
    pub async fn until_cluster_replaced(&self) {
        self.executor.cluster_replaced.notified().await;
    }

    /// Notes the id of the cluster that answers.
    pub fn cluster_seen(&self, id: &str) {
        if let Some(producer) = &*self.executor.producer.load() {
            producer.cluster_seen(id);
        }
    }

    /// Creates a producer with other settings, or with other files or passwords behind the same settings. Changes
    /// nothing. Returns `None` after [`Dispatcher::close`]. Blocks.
    ///
    /// # Errors
    /// Returns an error if librdkafka rejects the settings, or if the cluster does not answer with them.
    pub fn prepare_producer(&self, cluster: Cluster) -> Result<Option<PreparedProducer>, ProducerFault> {
        self.executor.producer.load_full().map(|producer| producer.prepare(cluster)).transpose()
    }

    /// Replaces the producer. Records that the old producer has stay with it. The next attempt of an event and the next
    /// event of a lane go to the new producer only after the old one has reported, so nothing is lost or reordered.
    pub fn replace_producer(&self, prepared: PreparedProducer) {
        if let Some(producer) = &*self.executor.producer.load() {
            producer.replace(prepared);
        }
    }

    /// Returns the decision whether Kafka accepts records, for the watch.
    #[must_use]
    pub fn acceptance(&self) -> Arc<Acceptance> {
        self.executor.producer.load().as_ref().map(|producer| producer.acceptance()).unwrap_or_default()
    }

    /// Opens the producer's connections. Returns the existing topics, or `None` if the cluster does not answer in
    /// time. Blocks.
    #[must_use]
    pub fn warm_up(&self, limit: Duration) -> Option<Vec<String>> {
        self.executor.producer.load_full()?.warm_up(limit)
    }
}
