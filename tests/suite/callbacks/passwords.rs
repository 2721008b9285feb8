//! Passwords: dropped, or sealed for those who hold the key; never in the clear.

use idaas_simulator::events::Event;
use idaas_simulator::kind::Kind;
use josekit::jwe::alg::direct::DirectJweAlgorithm;
use serde_json::json;

use super::{assert_success, event, value};
use crate::support::bridge::Setup;

const CREDENTIAL_KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn with_password(kind: Kind, number: u64, password: &str) -> Event {
    let mut event = event(kind, number);
    event.biz_data = json!({"userId": event.biz_id, "password": password, "deep": [{"password": password}]});
    event
}

/// Opens a compact JWE by another library than the bridge's.
pub(super) fn opened(jwe: &str, hex: &str) -> (Vec<u8>, serde_json::Value) {
    let key = openssl::bn::BigNum::from_hex_str(hex).unwrap().to_vec_padded(32).unwrap();
    let decrypter = DirectJweAlgorithm::Dir.decrypter_from_bytes(key).unwrap();
    let (plaintext, header) = josekit::jwe::deserialize_compact(jwe, &decrypter).unwrap();
    (plaintext, serde_json::to_value(header.claims_set()).unwrap())
}

fn assert_nowhere(records: &[crate::support::records::Seen], password: &str) {
    for record in records {
        let text = format!("{} {:?}", String::from_utf8_lossy(&record.value), record.headers);
        assert!(!text.contains(password), "{text}");
    }
}

#[test]
fn passwords_are_dropped() {
    let bridge = Setup::new().start();
    let secret = "Tr0ub4dor&3";
    let events = [
        with_password(Kind::UserCreate, 1, secret),
        with_password(Kind::UserUpdatePassword, 2, secret),
        with_password(Kind::UserPush, 3, secret),
        with_password(Kind::Unknown, 4, secret),
        with_password(Kind::Test, 5, secret),
    ];
    assert_success(&bridge.send(&events));
    let records = bridge.records();
    assert_eq!(records.len(), 5);
    assert_nowhere(&records, secret);
}

#[test]
fn sealed_passwords_open_with_the_credential_key_in_another_library() {
    let seal = format!("passwords = \"seal\"\ncredential_key = \"{CREDENTIAL_KEY}\"");
    let bridge = Setup::new().application(seal).start();
    let secret = "pässwörd \u{1f511} \"\\";
    let events = [
        with_password(Kind::UserCreate, 1, secret),
        with_password(Kind::UserUpdatePassword, 2, secret),
        with_password(Kind::UserUpdateInfo, 3, secret),
        with_password(Kind::UserCreate, 4, ""),
        event(Kind::UserDelete, 5),
    ];
    assert_success(&bridge.send(&events));
    let records = bridge.records();
    assert_nowhere(&records, secret);
    let credentials: Vec<_> = records.iter().filter(|record| record.topic == "idaas.credential.v1").collect();
    assert_eq!((records.len(), credentials.len()), (7, 2));
    for record in credentials {
        let value = value(record);
        let id = record.header("ce_id").unwrap();
        let event = events.iter().find(|event| format!("{}:credential", event.event_id) == id).unwrap();
        assert_eq!(value["origin"]["eventId"], event.event_id);
        assert_eq!(
            (&value["user"], record.key.as_deref()),
            (&json!({"id": event.biz_id}), Some(event.biz_id.as_bytes()))
        );
        let (password, header) = opened(value["password"].as_str().unwrap(), CREDENTIAL_KEY);
        assert_eq!(String::from_utf8(password).unwrap(), secret);
        let digest = openssl::sha::sha256(
            &openssl::bn::BigNum::from_hex_str(CREDENTIAL_KEY).unwrap().to_vec_padded(32).unwrap(),
        );
        let kid: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header, json!({"alg": "dir", "enc": "A256GCM", "kid": kid}));
    }
}

#[test]
fn sealed_passwords_are_sealed_in_structured_mode_too() {
    let seal = format!("passwords = \"seal\"\ncredential_key = \"{CREDENTIAL_KEY}\"");
    let bridge = Setup::new().application(seal).topics("event_mode = \"structured\"").start();
    let secret = "correct horse";
    assert_success(&bridge.send(&[with_password(Kind::UserCreate, 1, secret)]));
    let records = bridge.records();
    assert_nowhere(&records, secret);
    let sealed = records.iter().find(|record| record.topic == "idaas.credential.v1").unwrap();
    let (password, _) = opened(value(sealed)["data"]["password"].as_str().unwrap(), CREDENTIAL_KEY);
    assert_eq!(password, secret.as_bytes());
}
