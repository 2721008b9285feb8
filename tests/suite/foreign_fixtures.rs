//! Tokens of other JOSE libraries, verified and opened by ours.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use idaas_bridge::jose::jwe::{ContentKey, Sealed};
use idaas_bridge::jose::jws::{KeySet, Verification};
use serde_json::Value;

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
    let payload = key.open(&Sealed::parse(claims["cipherData"].as_str()?)?)?;
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
