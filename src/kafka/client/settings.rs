//! librdkafka's properties: ours, which keep the guarantees, and the operator's, which say how to reach the cluster.
//!
//! The values come from measurement: a reconnect back-off of librdkafka's default ten seconds outlasts every
//! deadline, and a record that is given up at the answer's deadline comes back as a duplicate.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::secret::Secret;

/// The largest record that the producer takes where the operator says nothing else, in bytes.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1_000_000;

/// The largest state record unless larger records are configured, in bytes: about 80,000 members.
const MAX_STATE_BYTES: usize = 8 << 20;

/// The property that bounds a record's size.
pub const MAX_MESSAGE_BYTES: &str = "message.max.bytes";

/// The property that bounds the producer's queue.
const QUEUE_KILOBYTES: &str = "queue.buffering.max.kbytes";

const COMMON: [(&str, &str); 10] = [
    ("client.id", "idaas-bridge"),
    ("socket.timeout.ms", "4000"),
    ("socket.connection.setup.timeout.ms", "3000"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "500"),
    ("allow.auto.create.topics", "false"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("log.connection.close", "false"),
    ("enable.metrics.push", "false"),
];

/// May be set otherwise by the operator.
const TUNING: [(&str, &str); 11] = [
    ("request.timeout.ms", "3000"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "250"),
    // Nothing to wait for: under load records gather while the request before them is on its way.
    ("linger.ms", "0"),
    ("batch.size", "1000000"),
    // Every client reads it. kafkajs, for one, ends on the first record that is compressed with lz4, snappy or zstd.
    ("compression.type", "none"),
    ("queue.buffering.max.messages", "50000"),
    (QUEUE_KILOBYTES, "65536"),
    (MAX_MESSAGE_BYTES, "1000000"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("statistics.interval.ms", "1000"),
];

/// What the guarantees rest on; set last, so that nothing can undo it.
const GUARANTEES: [(&str, &str); 5] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("max.in.flight.requests.per.connection", "5"),
    ("message.timeout.ms", "120000"),
    ("partitioner", "murmur2_random"),
];

/// What transactions take on top. A transaction that an instance leaves behind holds up the readers of its partitions
/// until its timeout; the loss of a broker holds up a transaction for up to nine seconds.
const TRANSACTIONS: [(&str, &str); 4] = [
    ("transaction.timeout.ms", "15000"),
    ("message.timeout.ms", "15000"),
    ("linger.ms", "5"),
    ("statistics.interval.ms", "0"),
];

/// How to reach the cluster. Has no `Debug`: the properties hold passwords.
#[derive(Clone)]
pub struct Cluster {
    /// `host:port` of some brokers.
    pub bootstrap_servers: Vec<String>,
    /// The operator's librdkafka properties.
    pub properties: BTreeMap<String, Secret<String>>,
}

impl Cluster {
    /// A cluster that is reached without any property.
    #[must_use]
    pub fn plain(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.split(',').map(str::to_owned).collect(),
            properties: BTreeMap::new(),
        }
    }

    /// Bounds the producer's queue to so many bytes, unless the operator's properties say otherwise.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        let value = || Secret::new((bytes / 1024).to_string());
        self.properties.entry(QUEUE_KILOBYTES.to_owned()).or_insert_with(value);
        self
    }

    /// The largest record that the producer takes, in bytes.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        let configured = self.properties.get(MAX_MESSAGE_BYTES).and_then(|value| value.expose().parse().ok());
        configured.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
    }

    /// Settings for the producer.
    pub(in crate::kafka) fn producer(&self) -> ClientConfig {
        let mut settings = self.client(&TUNING);
        for (name, value) in GUARANTEES {
            settings.set(name, value);
        }
        // Each change of a connection is told by a line of this log; `confirmation_gate` depends on that.
        let debug = settings.get("debug").map_or_else(|| "broker".to_owned(), |debug| format!("{debug},broker"));
        settings.set("debug", debug).set("log_level", "7").set_log_level(RDKafkaLogLevel::Debug);
        settings
    }

    /// Settings for a transactional producer of state records.
    pub(in crate::kafka) fn transactional(&self, id: &str) -> ClientConfig {
        let mut settings = self.client(&TUNING);
        for (name, value) in GUARANTEES.iter().chain(&TRANSACTIONS) {
            settings.set(*name, *value);
        }
        settings.set(MAX_MESSAGE_BYTES, self.max_state_bytes().to_string()).set("transactional.id", id);
        settings
    }

    /// The largest state record, in bytes: a group can have many more members than one event names.
    #[must_use]
    pub fn max_state_bytes(&self) -> usize {
        self.max_message_bytes().max(MAX_STATE_BYTES)
    }

    /// Settings for whoever only looks: metadata, topics, records.
    pub(in crate::kafka) fn observer(&self) -> ClientConfig {
        self.client(&[])
    }

    /// Settings for a consumer that is assigned partitions. It joins no group and commits nothing, so it changes nothing
    /// on the cluster and takes nothing from anybody.
    pub(in crate::kafka) fn partition_reader(&self, name: &str) -> ClientConfig {
        let mut settings = self.observer();
        settings
            // librdkafka requires the name of a group before it assigns anything. No group is joined.
            .set("group.id", format!("idaas-bridge-{name}"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        settings
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut settings = ClientConfig::new();
        for (name, value) in COMMON.iter().chain(defaults) {
            settings.set(*name, *value);
        }
        let producing = !defaults.is_empty();
        for (name, value) in &self.properties {
            // A consumer or admin client would warn of each property that only producers know.
            if producing || !TUNING.iter().any(|(tuning, _)| tuning == name) {
                settings.set(name, value.expose());
            }
        }
        settings.set("bootstrap.servers", self.bootstrap_servers.join(","));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_not_compressed_unless_the_operator_chooses() {
        let mut cluster = Cluster::plain("localhost:9092");
        assert_eq!(cluster.producer().get("compression.type"), Some("none"));
        cluster.properties.insert("compression.type".to_owned(), Secret::new("zstd".to_owned()));
        assert_eq!(cluster.producer().get("compression.type"), Some("zstd"));
    }
}
