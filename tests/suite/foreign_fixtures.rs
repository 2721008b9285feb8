//! Tokens of other JOSE libraries, verified and opened by ours.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

use idaas_callback::jose::jwe::{ContentKey, Sealed};
use idaas_callback::jose::jws::{KeySet, Verification};
use idaas_callback::policy::{EventMode, Passwords, Policy, Topics};
use idaas_callback::{Disposition, Prepared, Refusal, RequestContext, prepare_without_observer};
use serde_json::Value;

use crate::support::bridge::JOURNAL_KEY;
use crate::support::conformance::assert_conforms;

fn folder(library: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign").join(library)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Verifies the token in `file` and opens what is sealed in it.
fn opened(folder: &Path, file: &str) -> Option<(Value, Vec<u8>)> {
    let keys = KeySet::parse(&std::fs::read(folder.join("jwks.json")).unwrap()).unwrap();
    let key = ContentKey::from_hex(std::fs::read_to_string(folder.join("encryption.key")).unwrap().trim()).unwrap();
    let body = json(folder.join(file));
    let token = body["event"].as_str().unwrap();
    let (input, signature) = token.rsplit_once('.')?;
    let (header, claims) = input.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let verification = keys.verify(header["kid"].as_str()?, input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?);
    if verification != Verification::Good {
        return None;
    }
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let payload = key.open(Sealed::parse(claims["cipherData"].as_str()?)?).ok()?;
    Some((claims, payload))
}

#[test]
fn tokens_made_by_other_libraries_are_verified_and_opened() {
    for library in ["jwcrypto", "go-jose", "jose4j"] {
        let folder = folder(library);
        let expected = json(folder.join("expected.json"));
        let (claims, payload) = opened(&folder, "body.json").unwrap_or_else(|| panic!("{library} was not opened"));
        for (name, value) in expected["claims"].as_object().unwrap() {
            assert_eq!(&claims[name], value, "{library}: {name}");
        }
        assert_eq!(claims["plainData"], "", "{library}");
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let events: Vec<Value> = serde_json::from_str(payload["eventData"].as_str().unwrap()).unwrap();
        let expected = expected["events"].as_array().unwrap();
        assert_eq!(events.len(), expected.len(), "{library}");
        for (event, expected) in events.iter().zip(expected) {
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(&event[name], value, "{library}: {name}");
            }
            let data: Value = serde_json::from_str(event["bizData"].as_str().unwrap()).unwrap();
            assert!(data.is_object(), "{library}");
        }
    }
}

#[test]
fn forgeries_do_not_get_past_signature_and_encryption() {
    let folder = folder("refused");
    assert!(opened(&folder, "accepted.json").is_some());
    for case in json(folder.join("expected.json"))["cases"].as_array().unwrap() {
        if ["bad_signature", "unknown_key", "undecryptable"].contains(&case["code"].as_str().unwrap_or_default()) {
            let file = case["file"].as_str().unwrap();
            assert!(opened(&folder, file).is_none(), "{file}");
        }
    }
}

/// The way of a body through all but HTTP and the broker, at the time for which it was made.
fn prepared(folder: &Path, file: &str) -> Result<Prepared, Refusal> {
    let expected = json(folder.join("expected.json"));
    let claims = expected.get("claims").unwrap_or(&expected);
    let text = |name: &str| claims[name].as_str().unwrap().to_owned();
    let key = |hex: &str| Arc::new(ContentKey::from_hex(hex).unwrap());
    let policy = Policy {
        application_id: text("aud"),
        instance_id: Some(text("sub")),
        clock_skew: 60,
        decryption_keys: vec![key(std::fs::read_to_string(folder.join("encryption.key")).unwrap().trim())],
        require_encryption: true,
        passwords: Passwords::Drop,
        skip: Default::default(),
        topics: Topics::with_prefix("idaas"),
        mode: EventMode::Binary,
        journal_keys: vec![key(JOURNAL_KEY)],
        max_record_bytes: 1_000_000,
    };
    let keys = KeySet::parse(&std::fs::read(folder.join("jwks.json")).unwrap()).unwrap();
    let request = RequestContext { received_at: expected["at"].as_i64().unwrap() * 1000, traceparent: None };
    prepare_without_observer(&std::fs::read(folder.join(file)).unwrap(), &keys, &policy, request)
}

#[test]
fn callbacks_of_other_libraries_become_valid_records() {
    for library in ["jwcrypto", "go-jose", "jose4j"] {
        let folder = folder(library);
        let prepared = prepared(&folder, "body.json").unwrap_or_else(|refusal| panic!("{library}: {refusal:?}"));
        assert_eq!(prepared.decryption_key, Some(0));
        let events = json(folder.join("expected.json"))["events"].clone();
        assert_eq!(prepared.events.len(), events.as_array().unwrap().len(), "{library}");
        for (item, event) in prepared.events.iter().zip(events.as_array().unwrap()) {
            assert_eq!(item.id.text(), event["eventId"], "{library}");
            let Disposition::Publish { record, credential: None } = &item.disposition else {
                panic!("{library}: {event}")
            };
            let headers: Vec<_> =
                record.headers.iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
            assert_conforms(&headers, record.key.as_deref().map(str::as_bytes), &record.value, &record.topic);
            let value: Value = serde_json::from_slice(&record.value).unwrap();
            assert_eq!(value["origin"]["eventType"], event["eventType"], "{library}");
        }
    }
}

#[test]
fn each_forgery_is_refused_with_its_code_and_the_control_is_not() {
    let folder = folder("refused");
    let cases = json(folder.join("expected.json"))["cases"].as_array().unwrap().clone();
    assert!(cases.len() > 20);
    for case in cases {
        let file = case["file"].as_str().unwrap();
        let found = prepared(&folder, file).err().map(|refusal| (refusal.code(), refusal.status()));
        let expected = case["code"].as_str().map(|code| (code, case["status"].as_u64().unwrap() as u16));
        assert_eq!(found, expected, "{file}: {}", case["why"]);
    }
}
