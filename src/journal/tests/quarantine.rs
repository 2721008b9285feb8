//! Quarantined callbacks: each content is stored once, the size is limited, and readable callbacks are published.

use idaas_callback::jose::jws::KeySet;
use idaas_callback::policy::{EventMode, Passwords, Policy, Topics};
use idaas_callback::{Refusal, RequestContext, prepare_without_observer, to_quarantine};
use idaas_simulator::events::Generator;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token::{Callback, body};

use super::*;
use crate::journal::store::Batch;
use crate::journal::store::fault_injection::FaultInjection;
use crate::journal::{Journal, JournalRejection, QuarantineId, QuarantineReplay, Quarantined};

const NOW: i64 = 1_790_000_000;

fn policy(tenant_keys: &TenantKeys, decryption_keys: Vec<Arc<ContentKey>>) -> Policy {
    Policy {
        application_id: tenant_keys.identity.application_id.clone(),
        instance_id: None,
        clock_skew: 60,
        decryption_keys,
        require_encryption: true,
        passwords: Passwords::Drop,
        skip: Default::default(),
        topics: Topics::with_prefix("idaas"),
        mode: EventMode::Binary,
        journal_keys: vec![key('a')],
        max_record_bytes: 900_000,
    }
}

fn right_key(tenant_keys: &TenantKeys) -> Arc<ContentKey> {
    Arc::new(ContentKey::from_hex(&tenant_keys.encryption_key()).unwrap())
}

fn request() -> RequestContext<'static> {
    RequestContext {
        received_at: NOW * 1000,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    }
}

/// Creates the quarantined form of a callback that is rejected under `policy`.
fn refused(tenant_keys: &TenantKeys, body: &str, policy: &Policy) -> Quarantined {
    let keys = KeySet::parse(tenant_keys.jwks().to_string().as_bytes()).unwrap();
    let reason = prepare_without_observer(body.as_bytes(), &keys, policy, request()).err().expect("a refusal");
    let callback = to_quarantine(body.as_bytes(), &keys, policy, request()).expect("it is authentic");
    let RequestContext { received_at, traceparent } = request();
    Quarantined {
        application: "workforce".to_owned(),
        reason,
        received_at,
        traceparent: traceparent.map(str::to_owned),
        callback,
    }
}

fn undecryptable(tenant_keys: &TenantKeys, seed: u64) -> Quarantined {
    let events = Generator::new(seed).one_of_each(NOW * 1000);
    refused(tenant_keys, &body(tenant_keys, &events, NOW).unwrap(), &policy(tenant_keys, vec![key('d')]))
}

#[tokio::test]
async fn a_quarantined_callback_is_read_with_the_right_key() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let callback = undecryptable(&tenant_keys, 1);
    assert_eq!(callback.reason, Refusal::Undecryptable);
    let journal =
        Arc::new(Journal::start(open(directory.path()).store, Arc::new(IgnoredEvents), &Arc::default()).unwrap());
    let id = journal.quarantine(callback.clone()).await.unwrap().unwrap();
    assert_eq!(journal.quarantine(callback).await.unwrap().unwrap(), id, "the same content is kept once");
    assert_eq!(journal.usage().quarantine, 1);
    journal.close();
    drop(journal);

    let journal =
        Arc::new(Journal::start(open(directory.path()).store, Arc::new(IgnoredEvents), &Arc::default()).unwrap());
    let late = Arc::new(policy(&tenant_keys, vec![key('d')]));
    let mut reopening = QuarantineReplay::begin(Arc::clone(&journal)).await.unwrap();
    let next = reopening.next(|_| Some(("workforce".to_owned(), Arc::clone(&late)))).await;
    assert!(next.unwrap().is_none(), "still no key fits");
    drop(reopening);
    let fitting = Arc::new(policy(&tenant_keys, vec![key('d'), right_key(&tenant_keys)]));
    let mut reopening = QuarantineReplay::begin(Arc::clone(&journal)).await.unwrap();
    let application = |callback: &Quarantined| {
        (callback.application == "workforce").then(|| ("renamed".to_owned(), Arc::clone(&fitting)))
    };
    let reopened = reopening.next(application).await.unwrap().unwrap();
    assert_eq!(reopened.application, "renamed");
    let keys = KeySet::parse(tenant_keys.jwks().to_string().as_bytes()).unwrap();
    let events = Generator::new(1).one_of_each(NOW * 1000);
    let body = body(&tenant_keys, &events, NOW).unwrap();
    let fresh = prepare_without_observer(body.as_bytes(), &keys, &fitting, request()).ok().unwrap();
    let ids = |items: &[idaas_callback::PreparedEvent]| {
        items.iter().map(|item| item.id.text().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&reopened.prepared.events), ids(&fresh.events));
    assert_eq!((reopened.received_at, reopened.prepared.decryption_key), (NOW * 1000, Some(1)));
    assert!(reopening.next(application).await.unwrap().is_none());
    journal.release(reopened.id).await.unwrap().unwrap();
    assert!(journal.quarantined(QuarantineId::FIRST, 9).await.unwrap().unwrap().is_empty());
    assert_eq!(journal.usage().bytes, 0);
}

#[tokio::test]
async fn an_unreadable_callback_is_kept_decrypted() {
    let tenant_keys = TenantKeys::generate().unwrap();
    let body = Callback::new(&tenant_keys, NOW).raw_payload("no list of events: zhangsan").body().unwrap();
    let callback = refused(&tenant_keys, &body, &policy(&tenant_keys, vec![right_key(&tenant_keys)]));
    assert_eq!(callback.reason, Refusal::Unreadable);
    assert_eq!(callback.content(), "no list of events: zhangsan");
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let quarantines = [callback.clone()];
    assert_eq!(store.commit(&Batch { quarantines: &quarantines, ..Batch::default() }).quarantined, [Ok(())]);
    let row = &store.quarantined(QuarantineId::FIRST, 9).unwrap()[0];
    assert_eq!((row.reason, row.application.as_str()), (Refusal::Unreadable, "workforce"));
    assert!(store.quarantined_callback(row.id).unwrap() == Some(callback));
    drop(store);
    let bytes = std::fs::read(directory.path().join("journal.redb")).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"zhangsan"));
    assert_eq!(open(directory.path()).quarantined, 1);
}

/// Creates `number` callbacks with distinct ids, in the order of receipt.
fn many(tenant_keys: &TenantKeys, number: usize) -> Vec<Quarantined> {
    let one = undecryptable(tenant_keys, 1);
    // The application is part of the id, so the ids are distinct.
    (0..number)
        .map(|number| Quarantined {
            application: format!("app{number}"),
            received_at: NOW * 1000 + i64::try_from(number).unwrap(),
            ..one.clone()
        })
        .collect()
}

#[test]
fn the_quarantine_is_bounded_by_size_and_not_by_number() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let mut store = open(directory.path()).store;
    let quarantined = store.commit(&Batch { quarantines: &many(&tenant_keys, 1500), ..Batch::default() }).quarantined;
    assert!(quarantined.iter().all(Result::is_ok));
    assert_eq!(store.contents().quarantine, 1500);
}

#[test]
fn a_full_quarantine_accepts_again_after_a_removal() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let mut store = opened(directory.path(), &[key('a')], 4 << 20).ok().unwrap().store;
    let many = many(&tenant_keys, 200);
    let quarantined = store.commit(&Batch { quarantines: &many, ..Batch::default() }).quarantined;
    let count = quarantined.iter().filter(|quarantined| quarantined.is_ok()).count();
    assert!(count > 10 && count < 200, "{count}");
    assert!(quarantined[count..].iter().all(|quarantined| *quarantined == Err(JournalRejection::QuarantineFull)));
    let bytes = store.contents().quarantine_bytes;
    assert!(bytes <= 1 << 20 && bytes > 900_000, "{bytes}");
    assert_eq!(seqs(&put(&mut store, &entries([0])).written), [0], "entries have room of their own");
    let releases = [many[0].id()];
    assert!(store.commit(&Batch { releases: &releases, ..Batch::default() }).deleted);
    assert_eq!(store.commit(&Batch { quarantines: &many[199..], ..Batch::default() }).quarantined, [Ok(())]);
}

#[tokio::test]
async fn refusals_of_the_quarantine_are_counted_by_their_reason() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let store = opened(directory.path(), &[key('a')], 400_000).ok().unwrap().store;
    let journal = Journal::start(store, Arc::new(IgnoredEvents), &Arc::default()).unwrap();
    let (mut quarantined, mut refused) = (0, 0);
    for callback in many(&tenant_keys, 20) {
        match journal.quarantine(callback).await.unwrap() {
            Ok(_) => quarantined += 1,
            Err(rejection) => {
                assert_eq!(rejection, JournalRejection::QuarantineFull);
                refused += 1;
            }
        }
    }
    assert!(quarantined > 0 && refused > 0, "{quarantined} {refused}");
    let usage = journal.usage();
    assert_eq!((usage.quarantine, usage.quarantine_limit), (quarantined, 100_000));
    let counts: Vec<_> = JournalRejection::ALL.into_iter().zip(usage.quarantine_rejected).collect();
    assert!(counts.contains(&(JournalRejection::QuarantineFull, refused)), "{counts:?}");
    let metrics = crate::telemetry::metrics::Metrics::new().unwrap();
    (0..2).for_each(|_| metrics.journal.show(&usage, 0));
    let text: String = metrics.texts(std::iter::empty()).collect();
    for line in [
        format!("idaas_bridge_journal_refused_total{{code=\"quarantine_full\"}} {refused}"),
        format!("idaas_bridge_quarantine_bytes {}", usage.quarantine_bytes),
        "idaas_bridge_quarantine_limit_bytes 100000".to_owned(),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_callback_is_kept_although_nobody_waits_for_it_any_longer() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let journal = Journal::start(open(directory.path()).store, Arc::new(IgnoredEvents), &Arc::default()).unwrap();
    let stalled = faults.hold_sync();
    // The caller stops waiting while the disk hangs, as a request does at its deadline.
    drop(journal.quarantine(undecryptable(&tenant_keys, 1)));
    drop(stalled);
    let second = journal.quarantine(undecryptable(&tenant_keys, 2)).await.unwrap();
    assert!(second.is_ok());
    assert_eq!(journal.usage().quarantine, 2);
}

#[tokio::test]
async fn a_hanging_disk_bounds_what_waits_in_memory() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let journal = Journal::start(open(directory.path()).store, Arc::new(IgnoredEvents), &Arc::default()).unwrap();
    let mut large = undecryptable(&tenant_keys, 1);
    large.callback.content = idaas_callback::QuarantinedContent::Encrypted("x".repeat(8 << 20));
    let stalled = faults.hold_sync();
    let answers: Vec<_> = (0..10)
        .map(|number| journal.quarantine(Quarantined { application: format!("app{number}"), ..large.clone() }))
        .collect();
    drop(stalled);
    let mut busy = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(_) => {}
            Err(rejection) => {
                assert_eq!(rejection, JournalRejection::Busy);
                busy += 1;
            }
        }
    }
    assert_eq!(busy, 3, "64 MiB wait at most");
}

#[tokio::test]
async fn callbacks_are_opened_in_the_order_of_their_acceptance() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let mut store = open(directory.path()).store;
    let many = many(&tenant_keys, 300);
    store.commit(&Batch { quarantines: &many, ..Batch::default() });
    let journal = Arc::new(Journal::start(store, Arc::new(IgnoredEvents), &Arc::default()).unwrap());
    let fitting = Arc::new(policy(&tenant_keys, vec![right_key(&tenant_keys)]));
    let mut reopening = QuarantineReplay::begin(Arc::clone(&journal)).await.unwrap();
    let mut opened = Vec::new();
    let application = |callback: &Quarantined| {
        (callback.application != "app7").then(|| (callback.application.clone(), Arc::clone(&fitting)))
    };
    while let Some(reopened) = reopening.next(application).await.unwrap() {
        opened.push(reopened.application);
    }
    let expected: Vec<_> = (0..300).filter(|number| *number != 7).map(|number| format!("app{number}")).collect();
    assert_eq!(opened, expected);
}

#[tokio::test]
async fn pass_over_a_quarantine_that_cannot_be_read_is_not_complete() {
    let (directory, tenant_keys) = (tempfile::tempdir().unwrap(), TenantKeys::generate().unwrap());
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let mut store = open(directory.path()).store;
    let many = many(&tenant_keys, 3);
    store.commit(&Batch { quarantines: &many, ..Batch::default() });
    let journal = Arc::new(Journal::start(store, Arc::new(IgnoredEvents), &Arc::default()).unwrap());
    let fitting = Arc::new(policy(&tenant_keys, vec![right_key(&tenant_keys)]));
    let application = |_: &Quarantined| Some(("workforce".to_owned(), Arc::clone(&fitting)));
    let mut pass = QuarantineReplay::begin(Arc::clone(&journal)).await.unwrap();
    // The journal reads the file again after the failure.
    faults.set_sync_fails(true);
    std::fs::write(directory.path().join("journal.redb"), "no journal").unwrap();
    assert!(journal.release(many[0].id()).await.unwrap().is_err());
    assert!(pass.next(application).await.is_err());
}

#[test]
fn an_id_reads_as_it_is_displayed() {
    let tenant_keys = TenantKeys::generate().unwrap();
    let id = undecryptable(&tenant_keys, 1).id();
    assert_eq!(QuarantineId::parse(&id.to_string()), Some(id));
    for none in ["", "evnt_1", &"ab".repeat(15), &"+".repeat(32)] {
        assert_eq!(QuarantineId::parse(none), None, "{none}");
    }
}
