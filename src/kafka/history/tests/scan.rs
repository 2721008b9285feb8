//! Tests of `scan`.

use super::*;
use crate::kafka::embedded::mock_cluster;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn nothing_to_read_is_read_at_once() {
    let kafka = mock_cluster(1).unwrap();
    let cluster = Cluster::plain(&kafka.bootstrap_servers());
    for topics in [vec![], vec!["missing".to_owned()]] {
        for range in [Range::Since(0), Range::Newest(10)] {
            let scanned = scan(&cluster, &topics, range, LIMIT, |_| true);
            let expected = Scanned { records: 0, complete: true, missing: topics.clone() };
            assert_eq!(scanned.ok(), Some(expected), "{topics:?} {range:?}");
        }
    }
}

#[test]
fn partitions_of_a_silent_leader_are_left_out() {
    let kafka = mock_cluster(2).unwrap();
    kafka.create_topic("t", 3, 2).unwrap();
    for (partition, leader) in [(0, 1), (1, 2), (2, 2)] {
        kafka.partition_leader("t", partition, Some(leader)).unwrap();
    }
    let mut settings = ClientConfig::new();
    let producer: BaseProducer = settings.set("bootstrap.servers", kafka.bootstrap_servers()).create().unwrap();
    for partition in 0..3 {
        producer.send(BaseRecord::<(), [u8]>::to("t").partition(partition).payload(b"x")).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    drop(producer);
    kafka.broker_round_trip_time(2, LIMIT).unwrap();
    let cluster = Cluster::plain(&kafka.bootstrap_servers());
    let scanned = scan(&cluster, &["t".to_owned()], Range::Newest(10), LIMIT, |_| true);
    assert_eq!(scanned.ok(), Some(Scanned { records: 1, complete: false, missing: Vec::new() }));
    kafka.broker_round_trip_time(2, Duration::ZERO).unwrap();
}
