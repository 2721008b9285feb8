//! The callbacks that are measured: of the simulator, in the form of the wire, and those that other libraries made.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use idaas_callback::jose::jwe::{ContentKey, Sealed};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt_aead};
use serde_json::{Value, json};

use crate::simulator::events::{Event, Generator};
use crate::simulator::kind::EventType;

const NOW: i64 = 1_790_000_000;

/// One callback, and the payload that is in it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) body: String,
    pub(crate) payload: String,
    pub(crate) jwks: String,
    pub(crate) key: String,
    pub(crate) application: String,
    /// When it comes, in seconds since 1970.
    pub(crate) at: i64,
}

/// The policy of a case, of one of the three crates.
macro_rules! policy {
    ($callback:ident, $case:expr) => {{
        let key = |hex: &str| std::sync::Arc::new($callback::jose::jwe::ContentKey::from_hex(hex).expect("a key"));
        $callback::policy::Policy {
            application_id: $case.application.clone(),
            instance_id: None,
            clock_skew: 60,
            decryption_keys: vec![key(&$case.key)],
            require_encryption: true,
            passwords: $callback::policy::Passwords::Drop,
            skip: Default::default(),
            topics: $callback::policy::Topics::with_prefix("idaas"),
            mode: $callback::policy::EventMode::Binary,
            journal_keys: vec![key(&$case.key)],
            max_record_bytes: 9_000_000,
        }
    }};
}
pub(crate) use policy;

pub(crate) fn cases() -> Vec<Case> {
    let material = Material { signing: Rsa::generate(2048).expect("a key"), encryption: [7; 32] };
    let users = |count| events("user:update_info", count);
    let mut cases = vec![
        case("1 user", &material, &users(1)),
        case("100 users", &material, &users(100)),
        case("1000 users", &material, &users(1000)),
        case("1000 deletions", &material, &events("user:delete", 1000)),
        case("group of 5000", &material, &[group(5000)]),
    ];
    for library in ["jwcrypto", "go-jose", "jose4j"] {
        cases.push(foreign(library));
    }
    cases
}

fn events(kind: &str, count: u64) -> Vec<Event> {
    let kind: EventType = kind.parse().expect("a type");
    let generator = Generator::new(1);
    (0..count).map(|index| generator.event(&kind, index, NOW * 1000)).collect()
}

/// A full push of a large group.
fn group(members: u64) -> Event {
    let mut event = events("group:push", 1).remove(0);
    let users = events("user:update_info", members);
    let member = |user: &Event| json!({"memberId": user.biz_id, "memberName": user.biz_data["displayName"]});
    event.biz_data["allMembers"] = users.iter().map(member).collect();
    event
}

/// The keys of the tenant that sends.
struct Material {
    signing: Rsa<Private>,
    encryption: [u8; 32],
}

const APPLICATION: &str = "app_benchmark";

/// A callback in the form of the wire: JSON text within JSON, as a JWE in a JWS.
fn case(name: &'static str, material: &Material, events: &[Event]) -> Case {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let item = |event: &Event| {
        json!({
            "eventId": event.event_id, "eventTime": event.event_time.to_string(), "bizId": event.biz_id,
            "bizData": event.biz_data.to_string(), "eventType": event.event_type,
        })
    };
    let events: Value = events.iter().map(item).collect();
    let payload = json!({
        "instanceId": "idaas_benchmark", "aliUid": "1021000000000001", "eventVersion": "V1.0",
        "eventData": events.to_string(),
    });
    let payload = payload.to_string();

    let (header, iv, mut tag) = (encode(br#"{"alg":"dir","enc":"A256GCM"}"#), [3; 12], [0; 16]);
    let cipher = Cipher::aes_256_gcm();
    let sealed = encrypt_aead(cipher, &material.encryption, Some(&iv), header.as_bytes(), payload.as_bytes(), &mut tag)
        .expect("AES");
    let sealed = format!("{header}..{}.{}.{}", encode(&iv), encode(&sealed), encode(&tag));
    let claims = json!({
        "iss": idaas_callback::ISSUER, "sub": "idaas_benchmark", "aud": APPLICATION, "iat": NOW, "exp": NOW + 1800,
        "jti": "0123456789012345678901", "dataEncrypted": true, "cipherData": sealed, "plainData": "",
    });
    let header = json!({"kid": "KEY", "typ": "JWT", "alg": "RS256"});
    let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let pair = PKey::from_rsa(material.signing.clone()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &pair).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(input.as_bytes()).expect("a signature");

    let key = json!({
        "kty": "RSA", "use": "sig", "kid": "KEY", "e": encode(&material.signing.e().to_vec()),
        "n": encode(&material.signing.n().to_vec()),
    });
    Case {
        name,
        body: json!({"event": format!("{input}.{}", encode(&signature))}).to_string(),
        payload,
        jwks: json!({"keys": [key]}).to_string(),
        key: material.encryption.iter().map(|byte| format!("{byte:02x}")).collect(),
        application: APPLICATION.to_owned(),
        at: NOW,
    }
}

fn foreign(library: &'static str) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/foreign").join(library);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a fixture");
    let expected: Value = serde_json::from_str(&read("expected.json")).expect("JSON");
    let (body, key) = (read("body.json"), read("encryption.key").trim().to_owned());
    let application = expected["claims"]["aud"].as_str().expect("aud").to_owned();
    let at = expected["at"].as_i64().expect("a time");
    Case { name: library, payload: opened(&body, &key), body, jwks: read("jwks.json"), key, application, at }
}

/// The payload in the callback.
fn opened(body: &str, key: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let claims = body["event"].as_str().and_then(|token| token.split('.').nth(1)).expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("claims");
    let sealed = Sealed::parse(claims["cipherData"].as_str().expect("a JWE").to_owned()).expect("a JWE");
    let Ok(payload) = ContentKey::from_hex(key).expect("a key").open(sealed) else { panic!("another key") };
    String::from_utf8(payload).expect("UTF-8")
}
