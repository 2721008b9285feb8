//! `check` on real Apache Kafka: it says that something works only if it has tested it.

use std::net::TcpListener;

use super::ENTITIES;
use super::setting::{Setting, run, start};
use crate::support::command::Shown;
use crate::support::real_kafka::{Advertised, Nodes, On, Options, RealKafka, shared_one_node};
use crate::support::records::{Until, consume_all};

fn names(prefix: &str) -> Vec<String> {
    ENTITIES.iter().map(|entity| format!("{prefix}.{entity}.v1")).collect()
}

fn create(kafka: &RealKafka, prefix: &str, partitions: i32, replication: i32, configs: &[(&str, &str)]) {
    names(prefix).iter().for_each(|name| kafka.create_topic(name, partitions, replication, configs));
}

fn check(servers: &str, more: &str) -> Shown {
    let setting = Setting::foreign_with("jwcrypto", servers, more);
    run(&["check", "--config", &setting.config])
}

fn section(prefix: &str, partitions: i32, replication: i32) -> String {
    format!(
        "[topics]\nprefix = \"{prefix}\"\npartitions = {partitions}\nreplication_factor = {replication}\n\
         retention = \"7d\"\n"
    )
}

#[test]
fn an_advertised_address_that_leads_nowhere_is_a_fault() {
    let hangs_up = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs_up_at = hangs_up.local_addr().unwrap().to_string();
    std::thread::spawn(move || while hangs_up.accept().is_ok() {});
    // Connections are accepted by the system, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap().to_string();
    let cases = [
        ("127.0.0.1:9", "Connection refused"),
        ("broker.invalid:9092", "(dns)"),
        (hangs_up_at.as_str(), "(closed)"),
        (silent_at.as_str(), "(timeout)"),
    ];
    let elsewhere = |address: &str| [Advertised::Elsewhere(address.to_owned())];
    let options =
        cases.iter().fold(Options::default(), |options, (address, _)| options.advertised(&elsewhere(address)));
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    create(&kafka, "idaas", 2, 1, &[]);
    for (listener, (address, words)) in cases.iter().enumerate() {
        let shown = check(kafka.advertised_servers(listener), &section("idaas", 2, 1));
        let out = shown.flat();
        assert_eq!(shown.code, 1, "{address}: {}", shown.out);
        assert!(!out.contains("[kafka_unreachable]"), "{address}: {}", shown.out);
        let expected = format!("broker 1 advertises {address}, and does not answer there");
        assert!(out.contains(&expected), "{address}: {}", shown.out);
        // Each question about a topic needs another connection to the bootstrap server, and check waits for 10 s only.
        let topics_are_known = !out.contains("topics: whether they exist");
        assert_eq!(out.contains("it leads 12 partitions of 6 topics"), topics_are_known, "{}", shown.out);
        for part in [*words, "fix: correct advertised.listeners of broker 1", "[broker_unreachable]"] {
            assert!(out.contains(part), "{address}: {part}: {}", shown.out);
        }
        assert!(!out.contains("topics: the user may write"), "it was not tested: {}", shown.out);
    }
    let shown = check(kafka.bootstrap_servers(), &section("idaas", 2, 1));
    assert_eq!(shown.code, 0, "{}", shown.out);
    assert!(shown.flat().contains("the broker answers at the address that it advertises"), "{}", shown.out);
    drop(silent);
}

#[test]
fn one_unreachable_leader_of_three_is_a_fault() {
    let addresses = [Advertised::Itself, Advertised::Elsewhere("127.0.0.1:9".to_owned()), Advertised::Itself];
    let Some(kafka) = RealKafka::start(Nodes::Three, Options::default().advertised(&addresses)) else { return };
    create(&kafka, "idaas", 3, 3, &[]);
    let shown = check(kafka.advertised_servers(0), &section("idaas", 3, 3));
    let out = shown.flat();
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(out.contains("broker 2 advertises 127.0.0.1:9, and does not answer there (refused)"), "{}", shown.out);
    assert!(!out.contains("broker 1 advertises") && !out.contains("broker 3 advertises"), "{}", shown.out);
    assert!(out.contains("all 6 topics: the user may write"), "the others are tested: {}", shown.out);
    assert_eq!(check(kafka.bootstrap_servers(), &section("idaas", 3, 3)).code, 0);
}

/// A Kafka on which the user `bridge` has no right yet, and the section to log in as this user.
fn kafka_with_acls() -> Option<(RealKafka, String, String)> {
    let options = Options::default()
        .scram("bridge", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let kafka = RealKafka::start(Nodes::One, options)?;
    create(&kafka, "idaas", 2, 1, &[]);
    let login = kafka.secure_properties();
    let servers = login.iter().find(|(name, _)| *name == "bootstrap.servers").unwrap().1.clone();
    let lines: String = login
        .iter()
        .filter(|(name, _)| *name != "bootstrap.servers")
        .map(|(name, value)| format!("{name:?} = {value:?}\n"))
        .collect();
    Some((kafka, servers, format!("[kafka.properties]\n{lines}")))
}

#[test]
fn rights_of_materialize_and_of_replicas_are_tested() {
    let Some((kafka, servers, login)) = kafka_with_acls() else { return };
    for entity in ["user", "organizational-unit", "group"] {
        let configs =
            [("cleanup.policy", "compact"), ("delete.retention.ms", "604800000"), ("max.message.bytes", "8388608")];
        kafka.create_topic(&format!("idaas.{entity}.state.v1"), 2, 1, &configs);
    }
    kafka.create_topic("idaas.replicas.v1", 1, 1, &[]);
    let own = ["--bootstrap-server", kafka.bootstrap_servers()];
    let state = "[state]\ngroup_id = \"states\"\ndirectory = \"state\"\n";
    let check = || check(&servers, &format!("{}{state}{login}", section("idaas", 2, 1)));
    let topics = On::TopicsFrom("idaas.");
    kafka.grant("bridge", &["Describe", "DescribeConfigs", "Read", "Write"], topics);
    let shown = check();
    assert_eq!(shown.code, 1, "{}", shown.out);
    for part in [
        "all 3 topics: the user may write",
        "does not have the right to READ the consumer group states, so `materialize` cannot join it [state_group]",
        "--operation Read --group states",
        "transactional ids that begin with states, so `materialize` cannot publish [state_transactions]",
        "--transactional-id states --resource-pattern-type prefixed",
        "several replicas can coordinate",
        "serve will start and work, but materialize would not",
    ] {
        assert!(shown.unbroken().contains(part), "{part}: {}", shown.out);
    }

    kafka.grant("bridge", &["Read"], On::Group("states"));
    kafka.grant("bridge", &["Write", "Describe"], On::TransactionsFrom("states"));
    let shown = check();
    assert_eq!(shown.code, 0, "{}", shown.out);
    for part in [
        "3 event topics: `materialize` may read",
        "the user may be a member of the consumer group states",
        "the user may use the transactional ids that begin with states",
        "can be created",
    ] {
        assert!(shown.unbroken().contains(part), "{part}: {}", shown.out);
    }
    let groups =
        kafka.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &[&own[..], &["--list"]].concat(), "");
    let ids = kafka.java("org.apache.kafka.tools.TransactionsCommand", &[&own[..], &["list"]].concat(), "");
    assert!(!groups.contains("states") && !ids.contains("states"), "nothing was stored: {groups}{ids}");

    kafka.revoke("bridge", &["Read", "Write"], topics);
    let shown = check();
    assert_eq!(shown.code, 1, "{}", shown.out);
    for part in [
        "the right to READ, so `materialize` gets no events [state_events]",
        "the right to READ, so `materialize` cannot restore the states [topic_read]",
        "does not have the right to WRITE and READ, so several replicas could not coordinate",
        "--operation Write --operation Read --topic idaas.replicas.v1",
    ] {
        assert!(shown.unbroken().contains(part), "{part}: {}", shown.out);
    }
    assert!(!shown.unbroken().contains("several replicas can coordinate"), "{}", shown.out);
}

#[test]
fn each_missing_right_is_named_with_the_command_that_grants_it() {
    let Some((kafka, servers, login)) = kafka_with_acls() else { return };
    let check = |topics: &str| check(&servers, &format!("{topics}{login}"));
    let topics = section("idaas", 2, 1);
    let all = On::TopicsFrom("idaas.");
    let grant = |operations: &[&str]| kafka.grant("bridge", operations, all);
    let may_not_write = |shown: &Shown| {
        let out = shown.flat();
        assert_eq!(shown.code, 1, "{}", shown.out);
        for part in ["the right to WRITE [topic_write]", "[idempotent_write]", "kafka-acls.sh", "--operation Write"] {
            assert!(out.contains(part), "{part}: {}", shown.out);
        }
    };

    grant(&["Describe", "Read"]);
    let shown = check(&topics);
    may_not_write(&shown);
    assert!(shown.flat().contains("--operation DescribeConfigs"), "{}", shown.out);
    grant(&["DescribeConfigs"]);
    let shown = check(&topics);
    may_not_write(&shown);
    assert!(!shown.out.contains("DescribeConfigs"), "{}", shown.out);

    grant(&["Write"]);
    let shown = check(&topics);
    assert_eq!(shown.code, 0, "{}", shown.out);
    assert!(shown.out.contains("all 6 topics: the user may write\n"), "{}", shown.out);

    // The rights that the documentation names: the permission is tested without the topics' settings as well.
    kafka.revoke("bridge", &["DescribeConfigs"], all);
    let shown = check(&topics);
    assert_eq!(shown.code, 0, "{}", shown.out);
    assert!(shown.out.contains("all 6 topics: the user may write\n"), "{}", shown.out);
    assert!(shown.out.contains("[topic_settings]") && !shown.out.contains("will start and work"), "{}", shown.out);

    let topics: Vec<_> = names("idaas");
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    assert_eq!(consume_all(kafka.bootstrap_servers(), &topics, Until::HighWatermarks), [], "nothing was published");

    let shown = check("[topics]\nprefix = \"idaas.more\"\ncreate = true\nreplication_factor = 1\n");
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.flat().contains("--operation Create"), "{}", shown.out);
    grant(&["Create"]);
    let shown = check("[topics]\nprefix = \"idaas.more\"\ncreate = true\nreplication_factor = 1\n");
    assert_eq!(shown.code, 0, "{}", shown.out);
}

#[test]
fn missing_topics_that_serve_creates_are_not_a_fault() {
    let Some(kafka) = shared_one_node() else { return };
    let topics = format!("{}create = true\n", section("planned", 2, 1));
    let shown = check(kafka.bootstrap_servers(), &topics);
    assert_eq!(shown.code, 0, "{}", shown.out);
    let out = shown.flat();
    assert!(out.contains("all 6 topics: each is missing, will be created by serve"), "{}", shown.out);
    assert!(out.contains("not tested all 6 topics: whether this user may write and read"), "{}", shown.out);
    assert!(!out.contains("will start and work"), "{}", shown.out);
    // Nothing was created, and three replicas cannot be.
    let shown = check(kafka.bootstrap_servers(), &topics.replace("factor = 1", "factor = 3"));
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.flat().contains("each is missing, and cannot be created by serve"), "{}", shown.out);
}

#[test]
fn the_topic_of_replicas_is_created_with_the_others() {
    let Some(kafka) = shared_one_node() else { return };
    create(kafka, "several", 2, 1, &[]);
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &section("several", 2, 1));
    let run = |command: &[&str]| run(&[command, &["--config", &setting.config]].concat());
    let shown = run(&["check"]);
    assert_eq!(shown.code, 0, "a single replica does not need it: {}", shown.out);
    assert!(
        shown.flat().contains("topic several.replicas.v1: does not exist, so several replicas could not coordinate"),
        "{}",
        shown.out
    );
    let shown = run(&["topics"]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("several.replicas.v1: missing;"), "{}", shown.out);

    let made = run(&["topics", "--create"]);
    assert_eq!(made.code, 0, "{}{}", made.out, made.err);
    assert!(made.out.contains("several.replicas.v1: created"), "{}", made.out);
    assert!(run(&["topics"]).out.contains("several.replicas.v1: ok"));
    assert!(run(&["check"]).flat().contains(
        "topic several.replicas.v1: exists, and the user may write and read it: several replicas can coordinate"
    ));
    is_for_replicas(kafka, "several.replicas.v1");
}

/// One partition, and its records go soon.
fn is_for_replicas(kafka: &RealKafka, topic: &str) {
    let servers = ["--bootstrap-server", kafka.bootstrap_servers()];
    let described = kafka.java(
        "org.apache.kafka.tools.TopicCommand",
        &[&servers[..], &["--describe", "--topic", topic]].concat(),
        "",
    );
    for part in ["PartitionCount: 1", "ReplicationFactor: 1", "cleanup.policy=delete", "retention.ms=3600000"] {
        assert!(described.contains(part), "{part}: {described}");
    }
}

#[test]
fn limits_of_timestamps_and_retention_are_warnings() {
    let Some(kafka) = shared_one_node() else { return };
    let configs = [
        ("message.timestamp.before.max.ms", "10000"),
        ("message.timestamp.after.max.ms", "1000"),
        ("retention.ms", "3600000"),
    ];
    create(kafka, "strict", 2, 1, &configs);
    let shown = check(kafka.bootstrap_servers(), &section("strict", 2, 1));
    assert_eq!(shown.code, 0, "{}", shown.out);
    for part in [
        "warning all 6 topics: each rejects records that are older than 10s",
        "each rejects records that are 1s ahead of the broker's clock",
        "each keeps records for 1h, and topics.retention is 7d [topic_retention]",
        "[topic_timestamps]",
        "--add-config message.timestamp.before.max.ms=3900000",
    ] {
        assert!(shown.flat().contains(part), "{part}: {}", shown.out);
    }
    assert!(
        shown.out.lines().filter(|line| !line.contains('/')).all(|line| line.chars().count() <= 80),
        "{}",
        shown.out
    );
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &section("strict", 2, 1));
    let shown = run(&["topics", "--config", &setting.config]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(
        shown.out.contains("1h/7d") && shown.flat().contains("6 topics: each keeps records for 1h"),
        "{}",
        shown.out
    );
    // The broker sets the time itself.
    kafka.create_topic("stamped.user.v1", 2, 1, &[configs[0], ("message.timestamp.type", "LogAppendTime")]);
    let shown = check(kafka.bootstrap_servers(), &section("stamped", 2, 1));
    assert!(!shown.out.contains("[topic_timestamps]"), "{}", shown.out);
}

#[test]
fn a_created_topic_keeps_records_as_long_as_configured() {
    let Some(kafka) = shared_one_node() else { return };
    for (prefix, retention) in [("kept-days", "9d"), ("kept-forever", "unlimited")] {
        let more = section(prefix, 1, 1).replace("7d", retention);
        let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &more);
        let made = run(&["topics", "--create", "--config", &setting.config]);
        assert_eq!(made.code, 0, "{}{}", made.out, made.err);
        assert!(made.out.contains(&format!("  {retention}  ")), "{}", made.out);
        let shown = run(&["check", "--config", &setting.config]);
        assert!(!shown.out.contains("[topic_retention]"), "{}", shown.out);
    }
}

#[test]
fn the_service_reports_partitions_that_were_added() {
    let Some(kafka) = shared_one_node() else { return };
    let more = format!("{}create = true\n", section("growing", 1, 1));
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &more);
    let mut serving = start(&["serve", "--config", &setting.config]);
    // The first look is over.
    for _ in ENTITIES {
        serving.wait_for_note("\"code\":\"topic_replication\"");
    }
    kafka.add_partitions("growing.user.v1", 3);
    // Looked at once a minute, and after a reload.
    serving.reload();
    serving.wait_for_note("\"code\":\"partitions_changed\"");
}
