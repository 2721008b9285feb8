//! A Kafka broker inside this process, for the demo and for tests: librdkafka's mock cluster.
//!
//! Clients that are built on librdkafka (kcat, confluent-kafka, rdkafka) can connect to it; Java clients cannot. It
//! keeps a few MiB per partition, forgets everything when it is dropped, and does not check sequence numbers. So it
//! can never prove that nothing was lost or duplicated, and the service must never publish to it.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey;

/// The newest request versions that do not crash the mock cluster if a partition has no leader.
const MAX_VERSIONS: [(RDKafkaApiKey, i16); 2] = [(RDKafkaApiKey::Produce, 9), (RDKafkaApiKey::Fetch, 11)];

/// Starts a mock cluster of librdkafka. All code that needs one, including tests, uses this function.
///
/// Since version 10 of Produce and version 12 of Fetch, an answer "not the leader" names the new leader. librdkafka's
/// mock cluster (2.12 to 2.15) does not check whether there is one, and dereferences a null pointer: a record or a
/// fetch for a partition whose leader is `None` ends the process with SIGSEGV. So clients are offered older versions
/// only. This concerns the mock cluster alone; clients do not contain that code.
///
/// # Errors
/// Returns librdkafka's error.
pub fn mock_cluster(brokers: i32) -> KafkaResult<MockCluster<'static, DefaultProducerContext>> {
    let cluster = MockCluster::new(brokers)?;
    for (request, newest) in MAX_VERSIONS {
        cluster.apiversion(request, Some(0), Some(newest))?;
    }
    Ok(cluster)
}

/// A running broker on a free port of the loopback interface. Dropping it stops the broker.
pub struct EmbeddedBroker {
    bootstrap_servers: String,
    /// Never used to send: dropping it stops the broker.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts a broker with these topics: name and number of partitions.
    ///
    /// # Errors
    /// A message, if the broker cannot be started.
    pub fn start(topics: &[(String, i32)]) -> Result<Self, String> {
        let (stop, stopped) = channel();
        let (sender, receiver) = channel();
        let topics = topics.to_owned();
        // rdkafka's handle cannot leave its thread, so the broker has its own, and this one can be sent anywhere.
        let run = move || retain(&topics, &sender, &stopped);
        let thread = std::thread::Builder::new().name("embedded broker".to_owned()).spawn(run);
        let thread = thread.map_err(|error| error.to_string())?;
        let bootstrap_servers = receiver.recv().map_err(|_| "the embedded broker did not start".to_owned())??;
        Ok(Self { bootstrap_servers, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns `host:port`, for the clients' `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has already been reported.
            let _ = thread.join();
        }
    }
}

/// Runs a broker until `stopped` is disconnected. Sends its address, or a message if it did not start.
fn retain(topics: &[(String, i32)], started: &Sender<Result<String, String>>, stopped: &Receiver<Infallible>) {
    let cluster = mock_cluster(1).and_then(|cluster| {
        topics.iter().try_for_each(|(topic, partitions)| cluster.create_topic(topic, *partitions, 1))?;
        Ok(cluster)
    });
    match cluster {
        Err(error) => {
            // The caller of `start` waits for this.
            let _ = started.send(Err(error.to_string()));
        }
        Ok(cluster) => {
            let _ = started.send(Ok(cluster.bootstrap_servers()));
            let _ = stopped.recv();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::Message;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;

    const REPORT_TIMEOUT: Duration = Duration::from_secs(30);

    fn client(cluster: &MockCluster<'static, DefaultProducerContext>) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers());
        client
    }

    fn publish(producer: &BaseProducer) {
        producer.send(BaseRecord::<(), [u8]>::to("leaderless").partition(0).payload(b"x")).unwrap();
    }

    fn consumed(consumer: &BaseConsumer) -> i64 {
        let end = Instant::now() + REPORT_TIMEOUT;
        loop {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                return message.offset();
            }
            assert!(Instant::now() < end, "no record came");
        }
    }

    /// Without [`MAX_VERSIONS`], it would crash the process.
    #[test]
    fn a_leaderless_partition_keeps_its_clients_waiting() {
        let cluster = mock_cluster(1).unwrap();
        cluster.create_topic("leaderless", 1, 1).unwrap();
        let producer: BaseProducer = client(&cluster).create().unwrap();
        let consumer: BaseConsumer =
            client(&cluster).set("group.id", "leaderless").set("fetch.wait.max.ms", "10").create().unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset("leaderless", 0, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        publish(&producer);
        producer.flush(REPORT_TIMEOUT).unwrap();
        assert_eq!(consumed(&consumer), 0);

        // Both clients know a leader, and ask it.
        cluster.partition_leader("leaderless", 0, None).unwrap();
        publish(&producer);
        assert!(producer.flush(Duration::from_millis(500)).is_err(), "a record was accepted without a leader");
        cluster.partition_leader("leaderless", 0, Some(1)).unwrap();
        producer.flush(REPORT_TIMEOUT).unwrap();
        assert_eq!(consumed(&consumer), 1);
    }
}
