//! The commands for operators, as an operator runs them: the real program, its output and its exit code.

mod check;
mod dead_letters;
mod inspect;
mod journal;
mod key_sets;
mod setting;

use std::time::Duration;

use idaas_bridge::kafka::embedded::mock_cluster;
use serde_json::Value;

use self::setting::{Setting, fixture, run, start};
use crate::support::real_kafka::{Nodes, On, Options, RealKafka, shared_one_node};
use crate::support::records::{Until, consume_all};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

const ENTITIES: [&str; 6] = ["user", "organizational-unit", "group", "connectivity", "unclassified", "dead-letter"];

#[test]
fn schema_prints_the_names_and_each_document() {
    let names = run(&["schema"]);
    assert_eq!(names.code, 0);
    assert_eq!(names.out.lines().count(), 11);
    for name in names.out.lines() {
        let document = run(&["schema", name]);
        assert_eq!(document.code, 0, "{name}");
        assert!(document.out.len() > 500 && document.out.contains(name), "{name}");
    }
    assert_eq!(run(&["schema", "users"]).code, 2);
}

#[test]
fn every_command_shows_an_example() {
    for command in ["check", "topics", "tail", "inspect", "journal", "schema", "serve", "materialize", "push-report"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.out.contains(&format!("  idaas-bridge {command}")), "{}", help.out);
    }
}

#[test]
fn foreign_captures_are_shown_without_passwords() {
    for library in ["jwcrypto", "go-jose", "jose4j"] {
        let setting = Setting::foreign(library, NOWHERE);
        let capture = fixture(library, "body.json");
        let shown = run(&["inspect", "--config", &setting.config, "--at", "2026-01-15T08:00:00Z", &capture]);
        assert_eq!(shown.code, 0, "{library}: {}{}", shown.out, shown.err);
        let expected: Value =
            serde_json::from_slice(&std::fs::read(fixture(library, "expected.json")).unwrap()).unwrap();
        for part in [expected["keyId"].as_str().unwrap(), "decryption_keys[0]", "accepted:", "idaas.user.v1"] {
            assert!(shown.out.contains(part), "{library}: {part}: {}", shown.out);
        }
        for event in expected["events"].as_array().unwrap() {
            assert!(shown.out.contains(event["eventId"].as_str().unwrap()), "{library}");
        }
        for line in shown.out.lines().filter(|line| line.contains("\"password\":")) {
            assert!(line.contains("\"***\""), "{line}");
        }
    }
}

#[test]
fn a_refused_capture_shows_its_code_and_what_to_do() {
    let setting = Setting::foreign("refused", NOWHERE);
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("refused", "expected.json")).unwrap()).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let shown = run(&["inspect", "--config", &setting.config, "--at", "1768464000", &fixture("refused", file)]);
        match case["code"].as_str() {
            None => assert_eq!(shown.code, 0, "{file}: {}", shown.out),
            Some(code) => {
                assert_eq!(shown.code, 1, "{file}: {}", shown.out);
                assert!(
                    shown.out.contains(&format!("refused: {code} (status {})", case["status"])),
                    "{file}: {}",
                    shown.out
                );
                assert!(shown.out.contains("fix: "), "{file}: {}", shown.out);
                assert!(!shown.out.contains("topic "), "{file}: a refused callback has no records");
            }
        }
    }
}

#[test]
fn an_old_capture_is_expired_and_garbage_is_malformed() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    let shown = run(&["inspect", "--config", &setting.config, &fixture("jwcrypto", "body.json")]);
    assert_eq!((shown.code, shown.out.contains("refused: expired")), (1, true), "{}", shown.out);
    let shown = run(&["inspect", "--config", &setting.config, &setting.config]);
    assert_eq!((shown.code, shown.out.contains("refused: malformed")), (1, true), "{}", shown.out);
    assert_eq!(run(&["inspect", "--config", &setting.config, "/nowhere"]).code, 2);
}

#[test]
fn check_reports_every_fault_of_a_wholly_broken_configuration() {
    let setting = Setting::with(
        "[server]\nlisten = \"here\"\n[kafka]\nproperties = { acks = \"1\" }\n[[application]]\nname = \"A\"\n",
    );
    let shown = run(&["check", "--config", &setting.config]);
    assert_eq!(shown.code, 2);
    for key in ["server.listen", "kafka.bootstrap_servers", "acks", "journal.keys", "].name", "].id", "].jwks"] {
        assert!(shown.out.contains(key), "{key}: {}", shown.out);
    }
    let faults = shown.out.lines().filter(|line| line.starts_with("  fault ")).count();
    let remedies = shown.out.lines().filter(|line| line.trim_start().starts_with("fix: ")).count();
    assert!(faults > 5 && remedies > faults, "{}", shown.out);
    assert!(shown.out.trim_end().lines().last().unwrap().contains("serve would not start"), "{}", shown.out);
}

#[test]
fn check_tests_kafka_and_keys_despite_other_faults() {
    let setting = Setting::with_jwks(NOWHERE, "\"http://127.0.0.1:1/jwks\"");
    let shown = run(&["check", "--config", &setting.config]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.flat().contains("Connection refused"), "{}", shown.out);
    assert!(shown.out.contains("application[workforce].jwks"), "{}", shown.out);
    let offline = run(&["check", "--offline", "--config", &setting.config]);
    assert_eq!(offline.code, 0, "{}", offline.out);
    assert!(offline.out.contains("not tested  kafka"), "{}", offline.out);
    assert!(!offline.out.contains("will start and work"), "{}", offline.out);
}

#[test]
fn check_explains_bad_properties_and_certificates() {
    let setting = Setting::foreign_with("jwcrypto", NOWHERE, "[kafka.properties]\n\"no.such.property\" = \"s3cret\"\n");
    let shown = run(&["check", "--offline", "--config", &setting.config]);
    assert_eq!(shown.code, 2, "{}", shown.out);
    assert!(shown.out.contains("no.such.property") && !shown.out.contains("s3cret"), "{}", shown.out);
}

#[test]
fn check_and_topics_find_what_a_mock_cluster_lacks() {
    let cluster = mock_cluster(3).unwrap();
    for entity in ENTITIES.iter().skip(1) {
        cluster.create_topic(&format!("idaas.{entity}.v1"), 12, 3).unwrap();
    }
    let setting = Setting::foreign("jwcrypto", &cluster.bootstrap_servers());
    let shown = run(&["topics", "--config", &setting.config]);
    assert_eq!(shown.code, 1, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("idaas.user.v1: is missing"), "{}", shown.out);
    assert!(shown.out.contains("--create"), "{}", shown.out);
    let shown = run(&["check", "--config", &setting.config]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.out.contains("topic idaas.user.v1: is missing"), "{}", shown.out);

    cluster.create_topic("idaas.user.v1", 12, 3).unwrap();
    let shown = run(&["topics", "--config", &setting.config]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    let shown = run(&["check", "--config", &setting.config]);
    // To test the permission to write could publish a record there.
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.flat().contains("not tested all 6 topics: whether the user may write"), "{}", shown.out);
    assert!(shown.out.contains("[topic_settings]"), "what a mock cluster does not tell is said: {}", shown.out);
    let topics: Vec<_> = ENTITIES.iter().map(|entity| format!("idaas.{entity}.v1")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    assert_eq!(consume_all(&cluster.bootstrap_servers(), &topics, Until::HighWatermarks), []);
}

#[test]
fn tail_shows_lines_or_json_and_ends_after_a_count() {
    let cluster = mock_cluster(1).unwrap();
    cluster.create_topic("idaas.user.v1", 3, 1).unwrap();
    cluster.create_topic("idaas.group.v1", 3, 1).unwrap();
    let setting = Setting::foreign("jwcrypto", &cluster.bootstrap_servers());
    setting::publish(&cluster.bootstrap_servers(), "idaas.user.v1", "user_a", "evnt_1");
    let arguments = ["tail", "--config", &setting.config, "user", "group", "--from-beginning", "--count", "1"];
    let line = run(&arguments);
    assert_eq!(line.code, 0, "{}{}", line.out, line.err);
    for part in ["user.updated", "user_a", "evnt_1", "idaas.user.v1/", "username"] {
        assert!(line.out.contains(part), "{part}: {}", line.out);
    }
    assert!(!line.out.contains("zhangsan"), "{}", line.out);
    let json = run(&[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!(json["value"]["user"]["username"], "zhangsan");
    assert_eq!(json["headers"]["ce_id"], "evnt_1");
}

#[test]
fn tail_follows_new_records_and_new_topics() {
    let cluster = mock_cluster(1).unwrap();
    cluster.create_topic("idaas.user.v1", 1, 1).unwrap();
    let setting = Setting::foreign("jwcrypto", &cluster.bootstrap_servers());
    setting::publish(&cluster.bootstrap_servers(), "idaas.user.v1", "user_a", "evnt_before");
    let mut tail = start(&["tail", "--config", &setting.config, "user", "group", "--count", "2"]);
    // It says on stderr which topic does not exist, after it has taken its places on those that are.
    tail.wait_for_note("idaas.group.v1 does not exist");
    setting::publish(&cluster.bootstrap_servers(), "idaas.user.v1", "user_b", "evnt_after");
    cluster.create_topic("idaas.group.v1", 1, 1).unwrap();
    setting::publish(&cluster.bootstrap_servers(), "idaas.group.v1", "group_a", "evnt_group");
    let shown = tail.end_within(Duration::from_secs(60));
    assert_eq!(shown.code, 0, "{}", shown.out);
    assert!(shown.out.contains("evnt_after") && shown.out.contains("evnt_group"), "{}", shown.out);
    assert!(!shown.out.contains("evnt_before"), "{}", shown.out);
}

#[test]
fn topics_are_created_and_rights_tested_without_records() {
    let Some(kafka) = shared_one_node() else { return };
    let more = "[topics]\nprefix = \"made\"\npartitions = 2\nreplication_factor = 1\n";
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), more);
    assert_eq!(run(&["topics", "--config", &setting.config]).code, 1);
    let made = run(&["topics", "--create", "--config", &setting.config]);
    assert_eq!(made.code, 0, "{}{}", made.out, made.err);
    assert_eq!(made.out.matches("created made.").count(), ENTITIES.len(), "{}", made.out);
    let shown = run(&["check", "--config", &setting.config]);
    assert_eq!(shown.code, 0, "{}", shown.out);
    assert!(shown.out.contains("all 6 topics: the user may write\n"), "{}", shown.out);
    assert!(shown.out.contains("all 6 topics: each has one replica"), "{}", shown.out);
    let topics: Vec<_> = ENTITIES.iter().map(|entity| format!("made.{entity}.v1")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    assert_eq!(consume_all(kafka.bootstrap_servers(), &topics, Until::HighWatermarks), []);

    kafka.create_topic("wrong.user.v1", 1, 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "1000")]);
    let more = "[topics]\nprefix = \"wrong\"\npartitions = 2\nreplication_factor = 1\n";
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), more);
    let shown = run(&["check", "--config", &setting.config]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    for part in
        ["has 1 partition,", "cleanup.policy = compact", "max.message.bytes = 1000", "5 topics: each is missing"]
    {
        assert!(shown.flat().contains(part), "{part}: {}", shown.out);
    }
}

#[test]
fn check_says_what_stands_between_here_and_a_guarded_cluster() {
    let options = Options::default()
        .scram("bridge", "correct horse")
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS");
    let Some(kafka) = RealKafka::start(Nodes::One, options) else { return };
    kafka.create_topic("idaas.user.v1", 1, 1, &[]);
    let login = kafka.secure_properties();
    let value = |name: &str| login.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let shown = |changes: &[(&str, &str)]| {
        let mut properties: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
        properties.retain(|(name, _)| *name != "bootstrap.servers" && !changes.iter().any(|(other, _)| name == other));
        properties.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let lines: String = properties.iter().map(|(name, value)| format!("{name:?} = {value:?}\n")).collect();
        let more = format!("[kafka.properties]\n{lines}");
        let setting = Setting::foreign_with("jwcrypto", &value("bootstrap.servers"), &more);
        let shown = run(&["check", "--config", &setting.config]);
        assert_eq!(shown.code, 1, "{changes:?}: {}", shown.out);
        assert!(!shown.out.contains("correct horse") && !shown.out.contains("battery"), "{}", shown.out);
        shown.flat()
    };
    for (changes, cause) in [
        (&[("sasl.password", "battery")][..], "(authentication)"),
        (&[("ssl.ca.location", "")], "(tls)"),
        (&[("security.protocol", "plaintext"), ("sasl.mechanism", "")], "(closed)"),
    ] {
        let out = shown(changes);
        assert!(out.contains(cause), "{changes:?}: {out}");
    }
    let out = shown(&[]);
    assert!(out.contains("is not visible to this user"), "{out}");
    let allow = |operations: &[&str]| kafka.grant("bridge", operations, On::TopicsFrom("idaas."));
    allow(&["Describe", "DescribeConfigs", "Write"]);
    let out = shown(&[]);
    assert!(out.contains("the user may write") && out.contains("the right to READ, so after a restart"), "{out}");
    allow(&["Read"]);
    let out = shown(&[]);
    assert!(out.contains("the user may read"), "{out}");
}

#[test]
fn missing_topics_are_reported_and_created_if_configured() {
    let Some(kafka) = shared_one_node() else { return };
    let more = |create: bool| {
        format!("[topics]\nprefix = \"served\"\npartitions = 1\nreplication_factor = 1\ncreate = {create}\n")
    };
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &more(false));
    start(&["serve", "--config", &setting.config]).wait_for_note("\"code\":\"topic_missing\"");
    let setting = Setting::foreign_with("jwcrypto", kafka.bootstrap_servers(), &more(true));
    let mut serving = start(&["serve", "--config", &setting.config]);
    for _ in ENTITIES {
        serving.wait_for_note("\"code\":\"topic_created\"");
    }
    assert_eq!(run(&["topics", "--config", &setting.config]).code, 0);
}
