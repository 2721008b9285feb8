//! The harness itself: brokers that come up, die and come back, let in and keep out.

use std::time::Duration;

use idaas_bridge::kafka::embedded::mock_cluster;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::support::real_kafka::{Nodes, Options, RealKafka, shared_one_node};
use crate::support::records::{Until, consume_all, consume_all_as};

fn send(client: &ClientConfig, topic: &str, values: &[&str]) {
    let producer: ThreadedProducer<DefaultProducerContext> = client
        .clone()
        .set("message.timeout.ms", "30000")
        .set("request.timeout.ms", "3000")
        .set("socket.timeout.ms", "4000")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    for value in values {
        let headers = rdkafka::message::OwnedHeaders::new()
            .insert(rdkafka::message::Header { key: "ce_id", value: Some(*value) });
        producer.send(BaseRecord::to(topic).key("k").payload(*value).headers(headers)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn plain(bootstrap_servers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", bootstrap_servers);
    client
}

#[test]
fn records_on_a_mock_cluster_are_read_back() {
    let mock = mock_cluster(1).unwrap();
    mock.create_topic("read-back", 2, 1).unwrap();
    send(&plain(&mock.bootstrap_servers()), "read-back", &["one", "two"]);
    let seen = consume_all(&mock.bootstrap_servers(), &["read-back"], Until::HighWatermarks);
    assert_eq!(seen.iter().map(|record| record.header("ce_id")).collect::<Vec<_>>(), [Some("one"), Some("two")]);
    assert_eq!(consume_all(&mock.bootstrap_servers(), &["read-back"], Until::Count(2)), seen);
}

#[test]
fn one_node_keeps_what_it_is_sent() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("harness-one", 3, 1, &[("retention.ms", "3600000")]);
    send(&plain(kafka.bootstrap_servers()), "harness-one", &["one", "two"]);
    let seen = consume_all(kafka.bootstrap_servers(), &["harness-one"], Until::HighWatermarks);
    assert_eq!(seen.iter().map(|record| &*record.value).collect::<Vec<_>>(), [b"one", b"two"]);
    assert!(seen.iter().all(|record| record.key.as_deref() == Some(b"k") && record.timestamp.is_some()));
}

#[test]
fn three_nodes_lose_nothing_when_one_is_killed_and_comes_back_or_is_paused() {
    let Some(kafka) = RealKafka::start(Nodes::Three, Options::default().fast_failover()) else { return };
    kafka.create_topic("harness-three", 1, 3, &[]);
    let client = plain(kafka.bootstrap_servers());
    send(&client, "harness-three", &["before"]);

    let first = kafka.leader_of("harness-three", 0);
    kafka.kill(first);
    send(&client, "harness-three", &["while one is away"]);
    kafka.wait_in_sync("harness-three", 0, 2);
    assert_ne!(kafka.leader_of("harness-three", 0), first);
    kafka.restart(first);
    kafka.wait_in_sync("harness-three", 0, 3);

    let second = kafka.leader_of("harness-three", 0);
    kafka.pause(second);
    send(&client, "harness-three", &["while one is paused"]);
    kafka.resume(second);
    kafka.wait_in_sync("harness-three", 0, 3);
    assert!(kafka.partition_state("harness-three", 0).leader > 0);

    let seen = consume_all(kafka.bootstrap_servers(), &["harness-three"], Until::HighWatermarks);
    let values: Vec<_> = seen.iter().map(|record| std::str::from_utf8(&record.value).unwrap()).collect();
    assert_eq!(values, ["before", "while one is away", "while one is paused"]);
}

#[test]
fn a_login_over_tls_is_let_in_and_a_wrong_password_is_kept_out() {
    let options =
        Options::default().scram("bridge", "correct horse").min_insync_replicas(1).message_max_bytes(2_000_000);
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    kafka.create_topic("harness-login", 1, 1, &[]);
    let mut client = ClientConfig::new();
    client.extend(kafka.secure_properties().into_iter().map(|(name, value)| (name.to_owned(), value)));
    send(&client, "harness-login", &["let in"]);
    assert_eq!(consume_all_as(&client, &["harness-login"], Until::Count(1))[0].value, b"let in");

    client.set("sasl.password", "wrong").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let producer: ThreadedProducer<DefaultProducerContext> = client.create().unwrap();
    producer.client().fetch_metadata(None, Duration::from_secs(2)).map(|_| ()).unwrap_err();
}
