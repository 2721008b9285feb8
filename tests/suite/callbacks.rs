//! Requests in, answers and records out: what IDaaS and the consumers get for what was sent.

mod connections;
mod dead_letters;
mod events;
mod journal;
mod keys;
mod observation;
mod outage;
mod passwords;
mod reload;
mod repetition;
mod restart;
mod shutdown;
mod tls;

use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::answer::List;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use serde_json::Value;

use crate::support::bridge::{Setup, Verdicts};
use crate::support::records::Seen;

/// An event of that type; another number, another event.
fn event(kind: Kind, number: u64) -> Event {
    Generator::new(11).event(&kind.into(), number, now_ms())
}

fn users(count: u64) -> Vec<Event> {
    (0..count).map(|number| event(Kind::UserUpdateInfo, number)).collect()
}

/// The first application has another decryption key than its instance, whose key is returned.
fn without_its_decryption_key(mut setup: Setup) -> (Setup, String) {
    let own = setup.applications[0].tenant_keys.encryption_key().to_string();
    setup.applications[0].decryption_keys = vec![ContentKey::generate_hex().to_string()];
    (setup, own)
}

fn value(record: &Seen) -> Value {
    serde_json::from_slice(&record.value).unwrap()
}

fn ids(records: &[Seen]) -> Vec<&str> {
    records.iter().filter_map(|record| record.header("ce_id")).collect()
}

fn assert_all(verdicts: &Verdicts, list: List, code: &str) {
    assert!(!verdicts.is_empty());
    assert!(verdicts.values().all(|verdict| *verdict == (list, code.to_owned())), "{verdicts:?}");
}

fn assert_success(verdicts: &Verdicts) {
    assert_all(verdicts, List::Success, "SUCCESS");
}
