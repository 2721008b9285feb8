//! The encoding of an entry.

use idaas_callback::jose::jwe::Sealed;
use idaas_callback::jose::jws::KeySet;
use idaas_callback::policy::{EventMode, Passwords, Policy, Topics};
use idaas_callback::{Disposition, EventId, PreparedEvent, Reason, RequestContext, prepare_without_observer};
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token::Callback;
use serde_json::json;

use super::*;
use crate::journal::entry::DecodeFault;
use crate::journal::row::{EntryRef, EntryRow};

const NOW: i64 = 1_790_000_000;

fn policy(tenant_keys: &TenantKeys, mode: EventMode) -> Policy {
    Policy {
        application_id: tenant_keys.identity.application_id.clone(),
        instance_id: None,
        clock_skew: 60,
        decryption_keys: vec![Arc::new(ContentKey::from_hex(&tenant_keys.encryption_key()).unwrap())],
        require_encryption: true,
        passwords: Passwords::Seal(key('c')),
        skip: Default::default(),
        topics: Topics::with_prefix("idaas"),
        mode,
        journal_keys: vec![key('a')],
        max_record_bytes: 900_000,
    }
}

/// One event of each type, and some that fit no record.
fn items(tenant_keys: &TenantKeys, policy: &Policy) -> Vec<PreparedEvent> {
    let mut events = Generator::new(3).one_of_each(NOW * 1000);
    events.push(Event::given(json!({"eventType": "urn:x", "bizData": {"password": "pass-word-1", "a": "\u{e9}"}})));
    events.push(Event::given(json!({"eventId": 17, "eventType": "urn:alibaba:idaas:app:event:ud:user:create"})));
    events.push(Event::given(json!({"eventId": "x".repeat(3000), "eventType": "urn:x", "password": "pass-word-1"})));
    events.push(Event::given(json!("no object")));
    let keys = KeySet::parse(tenant_keys.jwks().to_string().as_bytes()).unwrap();
    let body = Callback::new(tenant_keys, NOW).events(&events).body().unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = RequestContext { received_at: NOW * 1000, traceparent: Some(trace) };
    prepare_without_observer(body.as_bytes(), &keys, policy, request)
        .unwrap_or_else(|refusal| panic!("{}", refusal.code()))
        .events
}

fn entry_of_item(seq: u64, item: PreparedEvent) -> Entry {
    let (verdict, record, credential) = match item.disposition {
        Disposition::Publish { record, credential } => (Verdict::Confirmed, record, credential),
        Disposition::DeadLetter { reason, record } => (Verdict::DeadLettered(reason), record, None),
        Disposition::Skip => panic!("nothing is skipped"),
    };
    Entry {
        seq: Seq(seq),
        key: EventKey::of("app", item.id.text()),
        lane: LaneKey::of(&record.topic, record.key.as_deref().unwrap_or_default()),
        event_id: item.id.text().to_owned(),
        id_provided: matches!(item.id, EventId::Provided(_)),
        application: "workforce".to_owned(),
        received_at: NOW * 1000,
        event_time: item.event_time,
        verdict,
        record,
        credential: credential.map(|credential| *credential),
        dead_letter_source: item.dead_letter_source,
    }
}

fn all() -> (Policy, Vec<Entry>) {
    let tenant_keys = TenantKeys::generate().unwrap();
    let mut all = Vec::new();
    let policies = [EventMode::Binary, EventMode::Structured].map(|mode| policy(&tenant_keys, mode));
    for policy in &policies {
        all.extend(
            items(&tenant_keys, policy).into_iter().enumerate().map(|(seq, item)| entry_of_item(seq as u64, item)),
        );
    }
    let [policy, _] = policies;
    (policy, all)
}

/// Shows a record for comparison, with a sealed value opened.
fn shown(record: &Record) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    if let Some(sealed) = value.get_mut("original").filter(|original| original.is_string()) {
        let opened = key('a').open(Sealed::parse(sealed.as_str().unwrap()).unwrap()).ok().unwrap();
        *sealed = String::from_utf8(opened).unwrap().into();
    }
    let Record { entity, topic, key, headers, timestamp, value: _ } = record;
    let headers: Vec<_> = headers.iter().collect();
    format!("{entity:?} {topic} {key:?} {headers:?} {timestamp} {value}")
}

#[test]
fn an_entry_of_every_kind_of_event_comes_back_as_it_was() {
    let (_, all) = all();
    assert!(all.iter().any(|entry| entry.credential.is_some()));
    assert!(all.iter().any(|entry| !entry.id_provided));
    for entry in all {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let back = Entry::decode(entry.seq, &bytes).unwrap_or_else(|fault| panic!("{fault:?} {}", entry.event_id));
        let fields = |e: &Entry| {
            let credential = e.credential.as_ref().map(shown);
            let ids = (e.seq, e.key, e.lane, e.event_id.clone(), e.id_provided, e.application.clone());
            (ids, e.received_at, e.event_time, e.verdict, shown(&e.record), credential)
        };
        assert_eq!(fields(&back), fields(&entry));
        assert_eq!(back.record.value, entry.record.value);
    }
}

#[test]
fn a_restored_source_makes_the_same_dead_letter() {
    let (policy, all) = all();
    for entry in all {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert!(!String::from_utf8_lossy(&bytes).contains("pass-word-1"), "{}", entry.event_id);
        let back = Entry::decode(entry.seq, &bytes).unwrap();
        for (reason, fingerprint_only) in [(Reason::RefusedByBroker, false), (Reason::RecordTooLarge, true)] {
            let letter = |e: &Entry| {
                shown(&e.dead_letter_source.dead_letter(reason, &policy.dead_letters(), fingerprint_only).unwrap())
            };
            assert_eq!(letter(&back), letter(&entry));
        }
        // The original survives a further restart too.
        assert!(back.dead_letter_source.stored_original() == entry.dead_letter_source.stored_original());
    }
}

#[test]
fn a_dead_letter_needs_no_rules_of_its_application() {
    let (policy, all) = all();
    // The policy of another application, with the prefix of applications that set none.
    let other = Policy { application_id: "app_other".to_owned(), topics: Topics::with_prefix("other"), ..policy };
    for entry in all.into_iter().filter(|entry| entry.record.entity != Entity::DeadLetter) {
        let rules = other.dead_letters().for_record(&entry.record);
        let letter = entry.dead_letter_source.dead_letter(Reason::RefusedByBroker, &rules, false).unwrap();
        assert_eq!(&*letter.topic, "idaas.dead-letter.v1");
        let (_, source) = letter.headers.iter().find(|(name, _)| *name == "ce_source").unwrap();
        assert!(!source.contains("app_other"), "{source}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&letter.value).unwrap()["reason"], "refused_by_broker");
    }
}

#[test]
fn a_cut_or_changed_form_is_a_fault_and_never_a_panic() {
    let mut bytes = Vec::new();
    entry(1).encode(&mut bytes);
    for length in 0..bytes.len() {
        assert!(Entry::decode(Seq(1), &bytes[..length]).is_err(), "{length} bytes");
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(1..changed.len());
            changed[at] = random.u8(..);
        }
        // The changed bytes can still be a valid entry.
        let _ = Entry::decode(Seq(1), &changed);
    }
    bytes.push(0);
    assert_eq!(Entry::decode(Seq(1), &bytes).err(), Some(DecodeFault::Malformed), "one byte too many");
}

#[test]
fn an_entry_of_a_newer_build_is_said_to_be_one() {
    let mut bytes = Vec::new();
    entry(1).encode(&mut bytes);
    bytes[0] = 2;
    assert_eq!(Entry::decode(Seq(1), &bytes).err(), Some(DecodeFault::Newer(2)));
}

#[test]
fn memory_of_a_row_covers_an_original_that_is_larger_than_its_record() {
    let mut entry = entry_of(1, 300);
    let mut original = entry.dead_letter_source.stored_original();
    original.event = format!("{:?}", "x".repeat(5_000_000));
    entry.dead_letter_source = DeadLetterSource::from_stored(original);
    let mut bytes = Vec::new();
    EntryRow::encode(&entry, 3_000, &mut bytes);
    assert!(EntryRef::decode(Seq(1), &bytes).unwrap().memory > 5_000_000);
}
