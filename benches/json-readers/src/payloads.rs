//! The callbacks that are measured: of the simulator, in the form of the wire, and those that other libraries made.

use std::path::Path;

use idaas_callback::jose::jwe::{ContentKey, Sealed};
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::EventType;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token;
use serde_json::{Value, json};

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
    let material = TenantKeys::generate().expect("keys");
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

fn case(name: &'static str, material: &TenantKeys, events: &[Event]) -> Case {
    let body = token::body(material, events, NOW).expect("a callback");
    let (jwks, key) = (material.jwks().to_string(), material.encryption_key());
    let application = material.identity.application_id.clone();
    Case { name, payload: opened(&body, &key), body, jwks, key, application, at: NOW }
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
    let claims = base64_url(claims);
    let claims: Value = serde_json::from_slice(&claims).expect("claims");
    let sealed = Sealed::parse(claims["cipherData"].as_str().expect("a JWE").to_owned()).expect("a JWE");
    let Ok(payload) = ContentKey::from_hex(key).expect("a key").open(sealed) else { panic!("another key") };
    String::from_utf8(payload).expect("UTF-8")
}

fn base64_url(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        bits = (bits << 6 | u32::from(digit(byte))) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
