//! What a callback costs before the broker: `cargo bench --bench prepare`.
//!
//! The bare RSA verification is measured in the same run, because only the ratio to it holds on another machine.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]
#![allow(missing_docs, reason = "the macros of criterion document nothing")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::jose::jws::KeySet;
use idaas_callback::policy::{EventMode, Passwords, Policy, Topics};
use idaas_callback::{RequestContext, prepare_without_observer};
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::EventType;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::token;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Rsa;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const NOW: i64 = 1_790_000_000;

fn policy(tenant_keys: &TenantKeys) -> Policy {
    let key = |hex: &str| Arc::new(ContentKey::from_hex(hex).expect("a key"));
    Policy {
        application_id: tenant_keys.identity.application_id.clone(),
        instance_id: None,
        clock_skew: 60,
        decryption_keys: vec![key(&tenant_keys.encryption_key())],
        require_encryption: true,
        passwords: Passwords::Drop,
        skip: Default::default(),
        topics: Topics::with_prefix("idaas"),
        mode: EventMode::Binary,
        journal_keys: vec![key(&ContentKey::generate_hex())],
        max_record_bytes: 900_000,
    }
}

fn events(count: u64) -> Vec<Event> {
    let kind: EventType = "user:update_info".parse().expect("a type");
    let generator = Generator::new(1);
    (0..count).map(|index| generator.event(&kind, index, NOW * 1000)).collect()
}

fn rsa(criterion: &mut Criterion) {
    let pair = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let digest = [7; 32];
    let mut signer = PkeyCtx::new(&pair).expect("a context");
    signer.sign_init().expect("signing");
    signer.set_signature_md(openssl::md::Md::sha256()).expect("SHA-256");
    let mut signature = Vec::new();
    signer.sign_to_vec(&digest, &mut signature).expect("a signature");
    let mut verifier = PkeyCtx::new(&pair).expect("a context");
    verifier.verify_init().expect("verifying");
    verifier.set_signature_md(openssl::md::Md::sha256()).expect("SHA-256");
    assert_eq!(MessageDigest::sha256().size(), digest.len());
    criterion.bench_function("bare RSA-2048 verification", |bencher| {
        bencher.iter(|| assert!(verifier.verify(black_box(&digest), black_box(&signature)).expect("an answer")));
    });
}

fn prepared(criterion: &mut Criterion) {
    let tenant_keys = TenantKeys::generate().expect("keys");
    let keys = KeySet::parse(tenant_keys.jwks().to_string().as_bytes()).expect("a key set");
    let policy = policy(&tenant_keys);
    let moment = RequestContext { received_at: NOW * 1000, traceparent: None };
    let mut group = criterion.benchmark_group("prepare");
    for count in [1, 100, 1000] {
        let body = token::body(&tenant_keys, &events(count), NOW).expect("a callback");
        let event_bytes = serde_json::to_string(&events(1)[0].biz_data).expect("JSON").len();
        eprintln!("{count} events, {} bytes of body, the first with {event_bytes} bytes of data", body.len());
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::from_parameter(count), &body, |bencher, body| {
            bencher.iter(|| {
                let prepared = prepare_without_observer(black_box(body.as_bytes()), &keys, &policy, moment);
                assert_eq!(prepared.expect("authentic").events.len() as u64, count);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = rsa, prepared
}
criterion_main!(benches);
