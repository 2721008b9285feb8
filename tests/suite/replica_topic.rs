//! The topic over which replicas coordinate: created, missing, not permitted, replaced with its cluster, and read by
//! new clients after a reload.

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;

use crate::support::bridge::{ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{Nodes, On, Options, RealKafka, shared_one_node};
use crate::support::records::{Until, consume_all, retry};

fn setup(kafka: &RealKafka, prefix: &str) -> Setup {
    Setup::of(vec![TestApplication::workforce().prefix(prefix)])
        .kafka(kafka.bootstrap_servers())
        .topics(format!("prefix = {prefix:?}\npartitions = 1\nreplication_factor = 1"))
}

fn create_event_topics(kafka: &RealKafka, prefix: &str) {
    for entity in ENTITIES {
        kafka.create_topic(&format!("{prefix}.{entity}.v1"), 1, 1, &[]);
    }
}

fn user(number: u64) -> Event {
    Generator::new(61).event(&Kind::UserUpdateInfo.into(), number, now_ms())
}

fn sees(bridge: &TestBridge, replicas: u8) {
    bridge.wait_metric("replicas", &[], replicas.into());
}

fn times_logged(bridge: &mut TestBridge, code: &str) -> usize {
    let code = format!("\"code\":\"{code}\"");
    bridge.program().log().matches(&code).count()
}

#[test]
fn serve_creates_the_coordination_topic() {
    let Some(kafka) = shared_one_node() else { return };
    // Two at a time, because each can be the one that is too late.
    let bridges = [(); 2].map(|()| setup(kafka, "coordinated").topics("create = true").spawn());
    bridges.iter().for_each(|bridge| sees(bridge, 2));
    kafka.leader_of("coordinated.replicas.v1", 0);
}

#[test]
fn without_their_topic_replicas_publish_alone_until_it_appears() {
    let Some(kafka) = shared_one_node() else { return };
    create_event_topics(kafka, "uncoordinated");
    let mut bridges = [(); 2].map(|()| setup(kafka, "uncoordinated").spawn());
    for (number, bridge) in (0..).zip(&bridges) {
        bridge.send_until_success(&user(number));
    }
    for bridge in &mut bridges {
        bridge.program().wait_for(|line| line["code"] == "replicas_not_coordinated");
        sees(bridge, 1);
    }
    kafka.create_topic("uncoordinated.replicas.v1", 1, 1, &[]);
    bridges.iter().for_each(|bridge| sees(bridge, 2));
    for bridge in &mut bridges {
        assert_eq!(times_logged(bridge, "replicas_not_coordinated"), 1);
    }
}

#[test]
fn a_replica_without_rights_publishes_and_joins_later() {
    let options = Options::default()
        .scram("bridge", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    create_event_topics(&kafka, "barred");
    kafka.create_topic("barred.replicas.v1", 1, 1, &[]);
    let grant = |topic: &str| kafka.grant("bridge", &["Describe", "Read", "Write"], On::Topic(topic));
    ENTITIES.iter().for_each(|entity| grant(&format!("barred.{entity}.v1")));
    let mut with_login = setup(&kafka, "barred");
    for (name, value) in kafka.secure_properties() {
        with_login = match name {
            "bootstrap.servers" => with_login.kafka(&value),
            name => with_login.property(name, &value),
        };
    }
    let mut bridge = with_login.read_from(kafka.bootstrap_servers()).spawn();
    bridge.send_until_success(&user(1));
    let line = bridge.program().wait_for(|line| line["code"] == "replicas_not_coordinated");
    assert!(line.to_string().contains("may not describe, read and write"), "{line}");
    let heartbeats = || consume_all(kafka.bootstrap_servers(), &["barred.replicas.v1"], Until::HighWatermarks).len();
    assert_eq!(heartbeats(), 0);
    grant("barred.replicas.v1");
    retry(|| if heartbeats() > 0 { Ok(()) } else { Err("no heartbeat".to_owned()) });
    bridge.send_until_success(&user(2));
    assert_eq!(times_logged(&mut bridge, "replicas_not_coordinated"), 1);
}

#[test]
fn replicas_find_each_other_again_in_another_cluster() {
    let Some(kafka) = RealKafka::start(Nodes::One, Options::default()) else { return };
    create_event_topics(&kafka, "elsewhere");
    let mut bridges = [(); 2].map(|()| setup(&kafka, "elsewhere").topics("create = true").spawn());
    for (number, bridge) in (0..).zip(&bridges) {
        sees(bridge, 2);
        bridge.send_until_success(&user(number));
    }
    kafka.replace_with_an_empty_one();
    for (number, bridge) in (10..).zip(&bridges) {
        bridge.send_until_success(&user(number));
        bridge.wait_metric("kafka_cluster_replaced_total", &[], 1.0);
    }
    // Its record is in the new cluster's topic, and the other reads it there.
    kafka.leader_of("elsewhere.replicas.v1", 0);
    bridges.iter().for_each(|bridge| sees(bridge, 2));
    assert!(bridges[1].end());
    sees(&bridges[0], 1);
}

#[test]
fn replicas_stay_together_when_kafka_settings_are_reloaded() {
    let Some(kafka) = shared_one_node() else { return };
    create_event_topics(kafka, "reloaded");
    kafka.create_topic("reloaded.replicas.v1", 1, 1, &[]);
    let start = || setup(kafka, "reloaded").spawn();
    let mut bridges = [start(), start()];
    bridges.iter().for_each(|bridge| sees(bridge, 2));
    assert!(bridges[0].reload_with(|setup| setup.property("socket.keepalive.enable", "true")));
    // The new reader sees who leaves and who comes, and the new writer is seen.
    assert!(bridges[1].end());
    sees(&bridges[0], 1);
    let third = start();
    sees(&bridges[0], 2);
    sees(&third, 2);
    third.send_until_success(&user(1));
}
