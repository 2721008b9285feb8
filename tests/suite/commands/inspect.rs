//! What `inspect` takes beside a captured body: a bare token, what `simulate send --print` prints, and the quarantine.

use std::path::Path;

use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::key_files;
use idaas_simulator::kind::Kind;
use serde_json::{Value, json};

use super::setting::{Setting, fixture, run, run_with};
use crate::support::bridge::{Setup, TestApplication};

#[test]
fn a_bare_token_is_inspected_as_the_body_around_it() {
    let setting = Setting::foreign("jwcrypto", "127.0.0.1:1");
    let body: Value = serde_json::from_slice(&std::fs::read(fixture("jwcrypto", "body.json")).unwrap()).unwrap();
    let token = body["event"].as_str().unwrap();
    let arguments = ["inspect", "--config", &setting.config, "--at", "2026-01-15T08:00:00Z", "-"];
    let shown = run_with(&arguments, format!("{token}\n").as_bytes());
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    for part in ["a bare token of", "accepted:", "idaas.user.v1"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let broken = run_with(&arguments, token.rsplit_once('.').unwrap().0.as_bytes());
    assert_eq!((broken.code, broken.out.contains("refused: malformed")), (1, true), "{}", broken.out);
}

#[test]
fn a_printed_callback_can_be_inspected_and_sent() {
    let bridge = Setup::new().start();
    let keys = tempfile::tempdir().unwrap();
    key_files::init(keys.path(), &bridge.applications[0].tenant_keys, 1).unwrap();
    let directory = keys.path().to_str().unwrap();
    let printed = run(&["simulate", "send", "--print", "--keys", directory, "--type", "user:create", "--count", "2"]);
    assert_eq!((printed.code, printed.out.lines().count()), (0, 2), "{}{}", printed.out, printed.err);
    let config = bridge.operator_configuration().display().to_string();
    let line = format!("{}\n", printed.out.lines().next().unwrap());
    let shown = run_with(&["inspect", "--config", &config, "-"], line.as_bytes());
    assert!(shown.code == 0 && shown.out.contains("accepted: 1 event"), "{}{}", shown.out, shown.err);
    assert_eq!(bridge.records().len(), 0, "nothing was sent");
    for line in printed.out.lines() {
        assert_eq!(bridge.post(format!("{line}\n")).status, 200);
    }
    assert_eq!(bridge.records_of("user").len(), 2);
    let neither = run(&["simulate", "send", "--keys", directory]);
    assert!(neither.code == 2 && neither.err.contains("--to"), "{}", neither.err);
}

#[test]
fn a_quarantined_callback_is_opened_with_configured_keys() {
    let mut application = TestApplication::workforce();
    let own = application.tenant_keys.encryption_key().to_string();
    let other = ContentKey::generate_hex().to_string();
    application.decryption_keys = vec![other.clone()];
    let mut bridge = Setup::of(vec![application]).start();
    let item = json!({"eventId": "evnt_a", "eventType": Kind::UserCreate.urn(), "bizId": "user_x",
                      "bizData": {"userId": "user_x", "username": "zhangsan", "password": "hunter2"}});
    let body = bridge.callback().event_values(vec![item]).body().unwrap();
    assert_eq!(bridge.post(body).status, 422);
    let reply = bridge.ask_admin("GET", "/journal");
    let summary: Value = serde_json::from_slice(&reply.body).unwrap();
    let id = summary["quarantine"][0]["id"].as_str().unwrap().to_owned();
    let config = bridge.operator_configuration();
    let inspect = |config: &Path| run(&["inspect", "--config", config.to_str().unwrap(), "--quarantine", &id]);
    let closed = inspect(&config);
    assert_eq!(closed.code, 1, "{}{}", closed.out, closed.err);
    for part in ["undecryptable", "the key in decryption_keys does not decrypt it", "A256GCM", "  fix: ", "SIGHUP"] {
        assert!(closed.flat().contains(part.trim()), "{part}: {}", closed.out);
    }
    let found = run(&["find", "--config", config.to_str().unwrap(), "user_x"]);
    assert!(found.code == 1 && found.err.contains("1 callback in quarantine cannot be searched"), "{}", found.err);
    // The key is in the file, and the service has not read it yet.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&format!("[\"{other}\"]"), &format!("[\"{other}\", \"{own}\"]"))).unwrap();
    let found = run(&["find", "--config", config.to_str().unwrap(), "user_x"]);
    assert!(found.code == 0 && found.out.contains(&id), "{}{}", found.out, found.err);
    for _ in ["the service", "the directory"] {
        let opened = inspect(&config);
        assert_eq!(opened.code, 0, "{}{}", opened.out, opened.err);
        for part in ["decryption_keys[1]", "evnt_a user.created", "accepted: 1 event", "journal redrive", &id] {
            assert!(opened.flat().contains(part), "{part}: {}", opened.out);
        }
        assert!(!opened.out.contains("hunter2"), "{}", opened.out);
        bridge.end();
    }
    let unknown = run(&["inspect", "--config", config.to_str().unwrap(), "--quarantine", &"0".repeat(32)]);
    assert!(unknown.code == 1 && unknown.err.contains("is not in quarantine"), "{}", unknown.err);
    assert!(unknown.flat_err().contains("`quarantine_opened` or `quarantine_discarded`"), "{}", unknown.err);
    let odd = run(&["inspect", "--config", config.to_str().unwrap(), "--quarantine", "evnt_a"]);
    assert!(odd.code == 2 && odd.err.contains("32 hex digits"), "{}", odd.err);
}
