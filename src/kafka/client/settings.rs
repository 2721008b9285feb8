//! librdkafka's properties: fixed ones, which keep the guarantees, and the operator's, which configure the connection.
//!
//! The values are based on measurements: librdkafka's default reconnect back-off of ten seconds exceeds every
//! deadline, and a record that is given up at the answer's deadline comes back as a duplicate.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub use crate::config::Cluster;
use crate::secret::Secret;

/// Default of the producer's maximum record size, in bytes.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1_000_000;

/// Maximum size of a state record unless larger records are configured, in bytes: about 80,000 members.
const MAX_STATE_BYTES: usize = 8 << 20;

/// The property that limits a batch's size.
const BATCH_BYTES: &str = "batch.size";

/// The property that limits a record's size.
pub const MAX_MESSAGE_BYTES: &str = "message.max.bytes";

/// The property that limits the producer's queue.
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

/// Defaults that the operator can override.
const TUNING: [(&str, &str); 11] = [
    ("request.timeout.ms", "3000"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "250"),
    // No lingering: under load, records are batched while the previous request is in flight.
    ("linger.ms", "0"),
    (BATCH_BYTES, "1000000"),
    // All clients can read uncompressed records. kafkajs, for example, stops at the first record that is compressed
    // with lz4, snappy or zstd.
    ("compression.type", "none"),
    ("queue.buffering.max.messages", "50000"),
    (QUEUE_KILOBYTES, "65536"),
    (MAX_MESSAGE_BYTES, "1000000"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("statistics.interval.ms", "1000"),
];

/// Properties that the guarantees depend on. They are set last, so that nothing overrides them.
const GUARANTEES: [(&str, &str); 5] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("max.in.flight.requests.per.connection", "5"),
    ("message.timeout.ms", "120000"),
    ("partitioner", "murmur2_random"),
];

/// Additional properties for transactions. A transaction that an instance leaves open blocks the readers of its
/// partitions until its timeout. Losing a broker delays a transaction by up to nine seconds.
const TRANSACTIONS: [(&str, &str); 4] = [
    ("transaction.timeout.ms", "15000"),
    ("message.timeout.ms", "15000"),
    ("linger.ms", "5"),
    ("statistics.interval.ms", "0"),
];

impl Cluster {
    /// Creates the settings of a cluster that is reached without further properties.
    #[must_use]
    pub fn plain(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.split(',').map(str::to_owned).collect(),
            properties: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Limits the producer's queue to this many bytes, unless the operator's properties override it.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        let value = || Secret::new((bytes / 1024).to_string());
        self.properties.entry(QUEUE_KILOBYTES.to_owned()).or_insert_with(value);
        self
    }

    /// Returns the producer's maximum record size, in bytes.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        let configured = self.properties.get(MAX_MESSAGE_BYTES).and_then(|value| value.expose().parse().ok());
        configured.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
    }

    /// Returns the settings for the producer.
    pub(in crate::kafka) fn producer(&self) -> ClientConfig {
        let mut settings = self.client(&TUNING);
        for (name, value) in GUARANTEES {
            settings.set(name, value);
        }
        // Each change of a connection produces a line in this log; `confirmation_gate` depends on it.
        let debug = settings.get("debug").map_or_else(|| "broker".to_owned(), |debug| format!("{debug},broker"));
        settings.set("debug", debug).set("log_level", "7").set_log_level(RDKafkaLogLevel::Debug);
        settings
    }

    /// Returns the settings for a transactional producer of state records, whose topics accept `max_batch_bytes` in a
    /// batch.
    pub(in crate::kafka) fn transactional(&self, id: &str, max_batch_bytes: usize) -> ClientConfig {
        let mut settings = self.client(&TUNING);
        for (name, value) in GUARANTEES.iter().chain(&TRANSACTIONS) {
            settings.set(*name, *value);
        }
        let configured = settings.get(BATCH_BYTES).and_then(|bytes| bytes.parse().ok()).unwrap_or(usize::MAX);
        settings.set(BATCH_BYTES, configured.min(max_batch_bytes).to_string());
        settings.set(MAX_MESSAGE_BYTES, self.max_state_bytes().to_string()).set("transactional.id", id);
        settings
    }

    /// Returns the maximum size of a state record, in bytes. A group can have many more members than one event names.
    #[must_use]
    pub fn max_state_bytes(&self) -> usize {
        self.max_message_bytes().max(MAX_STATE_BYTES)
    }

    /// Returns the settings for clients that do not produce.
    pub(in crate::kafka) fn observer(&self) -> ClientConfig {
        self.client(&[])
    }

    /// Returns the settings for a consumer that is assigned partitions. It joins no group and commits no offsets, so
    /// it changes nothing on the cluster and does not affect other consumers.
    pub(in crate::kafka) fn partition_reader(&self, name: &str) -> ClientConfig {
        let mut settings = self.observer();
        settings
            // librdkafka requires a group name before it assigns anything. No group is joined.
            .set("group.id", format!("idaas-bridge-{name}"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Once the queue is full, librdkafka would wait for a second before the next fetch.
            .set("fetch.queue.backoff.ms", "10");
        settings
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut settings = ClientConfig::new();
        for (name, value) in COMMON.iter().chain(defaults) {
            settings.set(*name, *value);
        }
        let producing = !defaults.is_empty();
        for (name, value) in &self.properties {
            // A consumer or admin client would log a warning for each property that only producers know.
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
