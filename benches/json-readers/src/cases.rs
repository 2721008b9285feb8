//! The callbacks that are compared: of the simulator, and those of other JOSE libraries.

use std::path::Path;

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::EventType;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token;
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_000;

/// One callback, and what is needed to open it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) body: String,
    pub(crate) jwks: String,
    pub(crate) key: String,
    pub(crate) application: String,
    /// Seconds since 1970.
    pub(crate) at: i64,
}

/// The callbacks that are measured.
pub(crate) fn measured() -> Vec<Case> {
    let keys = TenantKeys::generate().expect("keys");
    let case = |name, events: &[Event]| Case {
        name,
        body: token::body(&keys, events, NOW).expect("a callback"),
        jwks: keys.jwks().to_string(),
        key: keys.encryption_key().to_string(),
        application: keys.identity.application_id.clone(),
        at: NOW,
    };
    vec![
        case("1 user", &events("user:update_info", 1)),
        case("100 users", &events("user:update_info", 100)),
        case("1000 users", &events("user:update_info", 1000)),
        case("1000 deletions", &events("user:delete", 1000)),
        case("group of 5000", &[group(5000)]),
    ]
}

fn events(kind: &str, count: u64) -> Vec<Event> {
    let kind: EventType = kind.parse().expect("a type");
    let generator = Generator::new(1);
    (0..count).map(|index| generator.event(&kind, index, NOW * 1000)).collect()
}

fn group(members: u64) -> Event {
    let mut event = events("group:push", 1).remove(0);
    let users = events("user:update_info", members);
    let member = |user: &Event| json!({"memberId": user.biz_id, "memberName": user.biz_data["displayName"]});
    event.biz_data["allMembers"] = users.iter().map(member).collect();
    event
}

/// The callbacks that other libraries made, of which only the records are compared.
pub(crate) fn foreign() -> Vec<Case> {
    ["jwcrypto", "go-jose", "jose4j"].map(fixture).into()
}

fn fixture(name: &'static str) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/foreign").join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a fixture");
    let expected: Value = serde_json::from_str(&read("expected.json")).expect("JSON");
    Case {
        name,
        body: read("body.json"),
        jwks: read("jwks.json"),
        key: read("encryption.key").trim().to_owned(),
        application: expected["claims"]["aud"].as_str().expect("an application").to_owned(),
        at: expected["at"].as_i64().expect("a time"),
    }
}
