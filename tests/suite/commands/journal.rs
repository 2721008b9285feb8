//! The `journal` command while no service runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use idaas_bridge::journal::Entry;
use idaas_bridge::journal::store::{Batch, Store};
use idaas_callback::event_type::Entity;
use idaas_callback::headers::{HeaderName, Headers};
use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::record::Record;
use idaas_callback::{DeadLetterSource, StoredOriginal};
use idaas_simulator::kind::Kind;
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, Seq};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};

use super::setting::{Setting, run};
use crate::support::bridge::{Setup, TestApplication};
use crate::support::real_kafka::shared_one_node;
use crate::support::records::retry;

const NOWHERE: &str = "127.0.0.1:1";

fn directory(setting: &Setting) -> PathBuf {
    Path::new(&setting.config).parent().unwrap().join("journal")
}

fn store(setting: &Setting, digits: &str) -> Store {
    let key = Arc::new(ContentKey::from_hex(&digits.repeat(32)).unwrap());
    Store::open(&directory(setting), &[key], 1 << 30).unwrap_or_else(|fault| panic!("{fault}")).store
}

fn fill(setting: &Setting, digits: &str) {
    let entries: Vec<_> = (0..3).map(entry).collect();
    let committed = store(setting, digits).commit(&Batch { puts: &entries, ..Batch::default() });
    assert_eq!(committed.written.len(), 3);
}

fn entry(seq: u64) -> Entry {
    let event_id = format!("evnt_{seq}");
    let original = StoredOriginal {
        instance_id: "idaas_x".to_owned(),
        application_id: "app_x".to_owned(),
        ali_uid: None,
        event_version: None,
        event: "{}".to_owned(),
        received_at: 0,
        generated_id: "made".to_owned(),
    };
    Entry {
        seq: Seq(seq),
        key: EventKey::of("app_x", &event_id),
        lane: LaneKey::of("idaas.user.v1", "user_a"),
        event_id,
        id_provided: true,
        application: "workforce".to_owned(),
        received_at: 1_790_000_000_000,
        event_time: None,
        verdict: Verdict::Confirmed,
        record: Record {
            entity: Entity::User,
            topic: "idaas.user.v1".into(),
            key: Some("user_a".to_owned()),
            value: br#"{"user":{"username":"zhangsan"}}"#.to_vec(),
            headers: Headers::from_iter([(HeaderName::ContentType, "application/json")]),
            timestamp: 0,
        },
        credential: None,
        dead_letter_source: DeadLetterSource::from_stored(original),
    }
}

#[test]
fn journal_shows_what_waits_for_people_and_for_machines() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    let empty = run(&["journal", "--config", &setting.config]);
    assert_eq!(empty.code, 0, "{}{}", empty.out, empty.err);
    assert!(empty.out.contains("there is no journal yet"), "{}", empty.out);
    assert!(!directory(&setting).exists(), "looking makes nothing");
    fill(&setting, "ab");
    let shown = run(&["journal", "--config", &setting.config]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    for part in ["3 events", "workforce", "idaas.user.v1", "evnt_0", "0 callbacks", "no service runs"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let json: Value = serde_json::from_str(&run(&["journal", "--json", "--config", &setting.config]).out).unwrap();
    assert_eq!((json["events"].as_u64(), json["oldest"][2]["eventId"].as_str()), (Some(3), Some("evnt_2")));
}

#[test]
fn journal_export_says_nothing_personal_in_the_clear() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "ab");
    let exported = run(&["journal", "--config", &setting.config, "export"]);
    assert_eq!(exported.code, 0, "{}", exported.err);
    let lines: Vec<Value> = exported.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(!exported.out.contains("zhangsan"), "{}", exported.out);
    assert!(lines[0]["value"].as_str().unwrap().starts_with("ey"), "{}", exported.out);
}

#[test]
fn journal_discards_one_thing_and_only_with_consent() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "ab");
    let asked = run(&["journal", "--config", &setting.config, "discard", "evnt_1"]);
    assert_eq!(asked.code, 0, "{}{}", asked.out, asked.err);
    assert!(asked.out.contains("Nothing was changed"), "{}", asked.out);
    let done = run(&["journal", "--config", &setting.config, "discard", "evnt_1", "--yes"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let again = run(&["journal", "--config", &setting.config, "discard", "evnt_1", "--yes"]);
    assert_eq!(again.code, 1, "{}", again.out);
    assert!(again.out.contains("neither in the journal nor in quarantine"), "{}", again.out);
    let json: Value = serde_json::from_str(&run(&["journal", "--json", "--config", &setting.config]).out).unwrap();
    assert_eq!(json["events"], 2);
}

#[test]
fn journal_says_what_stands_in_its_way_and_what_to_do() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "cd");
    let unknown = run(&["journal", "--config", &setting.config]);
    assert_eq!(unknown.code, 1, "{}", unknown.out);
    assert!(unknown.err.contains("3 of its entries are sealed with the key"), "{}", unknown.err);
    assert!(unknown.err.contains("journal.keys"), "{}", unknown.err);
    let holder = store(&setting, "cd");
    let locked = run(&["journal", "--config", &setting.config]);
    assert_eq!(locked.code, 1, "{}", locked.out);
    assert!(locked.err.contains(&format!("in use by process {}", std::process::id())), "{}", locked.err);
    drop(holder);
    std::fs::write(directory(&setting).join("journal.redb"), "something else").unwrap();
    let foreign = run(&["journal", "--config", &setting.config]);
    assert!(foreign.code == 1 && foreign.err.contains("is not the file of a journal"), "{}", foreign.err);
    let nowhere = run(&["journal"]);
    assert!(nowhere.code == 2 && nowhere.err.contains("--config"), "{}", nowhere.err);
}

#[test]
fn journal_show_veils_personal_data_unless_it_is_asked_for() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "ab");
    let shown = run(&["journal", "--config", &setting.config, "show", "evnt_1"]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    for part in ["evnt_1", "idaas.user.v1", "workforce", "username", "SUCCESS (once it is published)"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    assert!(
        !shown.out.contains("zhangsan") && shown.flat().contains("no service runs; it is published"),
        "{}",
        shown.out
    );
    let revealed = run(&["journal", "--config", &setting.config, "show", "evnt_1", "--reveal"]);
    assert!(revealed.code == 0 && revealed.out.contains("zhangsan"), "{}{}", revealed.out, revealed.err);
    let gone = run(&["journal", "--config", &setting.config, "show", &"ab".repeat(16)]);
    assert!(gone.code == 1 && gone.flat().contains("`quarantine_opened` or `quarantine_discarded`"), "{}", gone.out);
    let missing = run(&["journal", "--config", &setting.config, "show", "evnt_9"]);
    assert!(missing.code == 1 && missing.out.contains("neither in the journal nor in quarantine"), "{}", missing.out);
}

#[test]
fn journal_counts_what_an_older_key_has_sealed() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "cd");
    let keys = Path::new(&setting.config).parent().unwrap();
    std::fs::write(keys.join("old.key"), "cd".repeat(32)).unwrap();
    let text = std::fs::read_to_string(&setting.config).unwrap();
    let line = text.lines().find(|line| line.starts_with("keys = [")).unwrap();
    let both = line.replace(']', ", { file = \"old.key\" }]");
    std::fs::write(&setting.config, text.replace(line, &both)).unwrap();
    let shown = run(&["journal", "--config", &setting.config]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("3 entries are sealed with the older key"), "{}", shown.out);
}

#[test]
fn journal_redrive_needs_a_service() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "ab");
    let tried = run(&["journal", "--config", &setting.config, "redrive", "evnt_1"]);
    assert!(tried.code == 1 && tried.err.contains("no service runs"), "{}{}", tried.out, tried.err);
}

#[test]
fn find_and_dead_letter_tell_where_an_event_is() {
    let Some(kafka) = shared_one_node() else { return };
    let bridge = Setup::of(vec![TestApplication::workforce().prefix("found")])
        .kafka(kafka.bootstrap_servers())
        .topics("prefix = \"found\"\ncreate = true\npartitions = 3\nreplication_factor = 1")
        .start();
    let config = bridge.operator_configuration().display().to_string();
    let urn = Kind::UserCreate.urn();
    let good = json!({"eventId": "evnt_good", "eventType": urn, "bizId": "user_x", "eventTime": "1790000000000",
                      "bizData": {"userId": "user_x", "username": "zhangsan"}});
    let bad = json!({"eventId": "evnt_bad", "eventType": urn, "bizId": "user_y", "eventTime": "1790000000000",
                     "bizData": "no object: zhangsan"});
    bridge.send_items(vec![good, bad]);
    for id in ["evnt_good", "user_x"] {
        let found = run(&["find", "--config", &config, id]);
        assert_eq!(found.code, 0, "{}{}", found.out, found.err);
        assert!(found.out.contains("user.created") && found.out.contains("found.user.v1/"), "{}", found.out);
        assert!(!found.out.contains("zhangsan"), "{}", found.out);
    }
    // A dead letter has the event's id as its key, and is found by that of its entity all the same.
    let refused = run(&["find", "--config", &config, "user_y"]);
    assert!(refused.code == 0 && refused.out.contains("dead-letter.refused"), "{}{}", refused.out, refused.err);
    assert!(
        refused.flat_err().contains("next: ") && refused.flat_err().contains("redrive evnt_bad"),
        "{}",
        refused.err
    );
    let unknown = run(&["find", "--config", &config, "evnt_never"]);
    assert!(unknown.code == 1 && unknown.err.contains("evnt_never is not in"), "{}{}", unknown.out, unknown.err);
    assert!(unknown.err.contains("not among the 2 records of the last 7 days"), "{}", unknown.err);
    let list = run(&["dead-letter", "--config", &config, "list"]);
    assert_eq!((list.code, list.out.lines().count()), (0, 1), "{}{}", list.out, list.err);
    assert!(list.out.contains("evnt_bad") && list.out.contains("malformed_data"), "{}", list.out);
    let shown = run(&["dead-letter", "--config", &config, "show", "evnt_bad"]);
    assert!(shown.code == 0 && shown.out.contains("malformed_data"), "{}{}", shown.out, shown.err);
    assert!(!shown.out.contains("zhangsan"), "{}", shown.out);
    let revealed = run(&["dead-letter", "--config", &config, "show", "evnt_bad", "--reveal"]);
    assert!(revealed.code == 0 && revealed.out.contains("zhangsan"), "{}{}", revealed.out, revealed.err);
}

#[test]
fn find_searches_the_journal_by_event_and_by_entity() {
    let setting = Setting::foreign("jwcrypto", NOWHERE);
    fill(&setting, "ab");
    for (id, lines) in [("user_a", 3), ("evnt_1", 1), ("workforce/evnt_1", 1)] {
        let found = run(&["find", "--config", &setting.config, id]);
        // Kafka is away, which is told; what the journal has is found.
        assert_eq!(found.code, 0, "{id}: {}{}", found.out, found.err);
        assert_eq!(found.out.matches("in the journal").count(), lines, "{id}: {}", found.out);
        assert!(
            found.flat_err().contains("journal --config") && found.err.contains("the topics cannot be read"),
            "{}",
            found.err
        );
    }
    for (id, is_callback) in [("user_b".to_owned(), false), ("ab".repeat(16), true)] {
        let unknown = run(&["find", "--config", &setting.config, &id]);
        let told = format!("{id} is not in the journal or the quarantine of this replica");
        assert!(unknown.code == 1 && unknown.err.contains(&told), "{}", unknown.err);
        assert_eq!(unknown.flat_err().contains("`quarantine_opened`"), is_callback, "{}", unknown.err);
    }
}

#[test]
fn a_waiting_event_is_shown_with_its_reason_and_the_fix() {
    let bridge = Setup::new().deadline(2000).start();
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1000];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    let event = json!({"eventId": "evnt_a", "eventType": Kind::UserCreate.urn(), "bizId": "user_x",
                       "bizData": {"userId": "user_x"}});
    assert_eq!(bridge.send_items(vec![event])["evnt_a"].1, "not_confirmed");
    let config = bridge.operator_configuration().display().to_string();
    let shown_by = |command: &[&str]| {
        retry(|| {
            let shown = run(&[command, &["--config", &config]].concat());
            // Between two attempts it waits; during one it is with the producer.
            let both = format!("{}{}", shown.out, shown.err);
            if both.contains(" failed") && both.contains("fix: The broker denies") { Ok(both) } else { Err(both) }
        })
    };
    let shown = shown_by(&["journal", "show", "evnt_a"]);
    assert!(shown.contains("waiting     not_authorized, "), "{shown}");
    let found = shown_by(&["find", "user_x"]);
    assert!(found.contains("in the journal") && found.contains("not_authorized, "), "{found}");
    retry(|| {
        let redriven = run(&["journal", "redrive", "evnt_a", "--config", &config]);
        if redriven.out.contains("is tried again now.") { Ok(()) } else { Err(redriven.out) }
    });
    let checked = run(&["check", "--config", &config]);
    let told = "the running service has 1 event in the journal and 0 callbacks in quarantine";
    assert!(checked.flat().contains(told) && checked.flat().contains("journal` shows why"), "{}", checked.out);
    bridge.mock().clear_request_errors(RDKafkaApiKey::Produce);
    bridge.wait_metric("journal_events", &[], 0.0);
}
