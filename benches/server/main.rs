//! What a callback costs the whole server, with a real Apache Kafka: `cargo bench --bench server`; and what an outage
//! costs: `cargo bench --bench server -- outage`, or `outage-million` for a start with a million events in the journal.
//! `cargo bench --bench server -- compare PROGRAM [SIZE]` compares the processor time with that of
//! another build, for callbacks of 1, 100 and 1,000 events or of one size.
//!
//! Measured is the processor time of the server's process, because the machine's other work does not change it much,
//! beside a bare RSA verification in the same run; and latencies at a fixed rate, counted from when a callback was to
//! be sent, beside a bare produce and its acknowledgement at the same rate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(dead_code, unused_imports, reason = "what tests share is more than what is needed here")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod compare;
mod load;
mod outage;
mod process;

use std::time::{Duration, Instant};

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::EventType;
use idaas_simulator::tenant_keys::TenantKeys;
use idaas_simulator::{sender, token};
use load::Expected;
use support::real_kafka::{Nodes, Options, RealKafka};

const CONNECTIONS: usize = 256;
const RATE: u64 = 500;

fn main() {
    // `cargo test --benches` runs this too, and wants to know only whether it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let kafka = RealKafka::start(Nodes::One, Options::default()).expect("Java and Maven, for a real Kafka");
    let mut compare = std::env::args().skip_while(|argument| argument != "compare").skip(1);
    if let Some(other) = compare.next() {
        let size = compare.next().map(|size| size.parse().expect("events in a callback"));
        return compare::run(&kafka, std::path::Path::new(&other), size);
    }
    let material = TenantKeys::generate().expect("keys");
    let rsa = bare_rsa();
    println!("bare RSA-2048 verification: {:.1} us", rsa * 1e6);
    let mut server = process::Server::start(kafka.bootstrap_servers(), &material);
    let mut events = Batches { material: &material, next: 0 };
    if let Some(what) = std::env::args().find(|argument| argument.starts_with("outage")) {
        return outage::measure(&kafka, &mut server, &mut events, what == "outage-million");
    }

    load::saturate(server.callbacks, &events.bodies(5_000, 1), CONNECTIONS, Expected::Success);
    for (callbacks, size, connections) in [(60_000, 1, CONNECTIONS), (600, 100, 16), (60, 1000, 4)] {
        let bodies = events.bodies(callbacks, size);
        let (cpu, began) = (server.cpu(), Instant::now());
        load::saturate(server.callbacks, &bodies, connections, Expected::Success);
        let (cpu, took) = ((server.cpu() - cpu).as_secs_f64(), began.elapsed().as_secs_f64());
        let count = (callbacks * size) as f64;
        println!(
            "{callbacks} callbacks of {size} events, {connections} connections: {:.1} us CPU per callback ({:.2} x \
            RSA), {:.1} us per event; {:.0} events/s; {:.0} MiB resident",
            cpu / callbacks as f64 * 1e6,
            cpu / callbacks as f64 / rsa,
            cpu / count * 1e6,
            count / took,
            server.resident_mib(),
        );
    }
    let bodies = events.bodies(RATE as usize * 20, 1);
    let latencies = load::at_rate(server.callbacks, &bodies, RATE);
    println!("{RATE} callbacks/s for 20 s: {latencies}");
    let bare = load::bare_produce(kafka.bootstrap_servers(), RATE, Duration::from_secs(20));
    println!("bare produce and acknowledgement, linger 0, at the same rate: {bare}");
    println!("resident at the end: {:.0} MiB", server.resident_mib());
}

/// Callbacks with ever new events, signed beforehand.
struct Batches<'a> {
    material: &'a TenantKeys,
    next: u64,
}

impl Batches<'_> {
    fn bodies(&mut self, callbacks: usize, size: usize) -> Vec<String> {
        self.bodies_of("user:update_info", callbacks, size)
    }

    fn bodies_of(&mut self, kind: &str, callbacks: usize, size: usize) -> Vec<String> {
        let kind: EventType = kind.parse().expect("a type");
        let generator = Generator::new(7);
        let now = sender::now_ms();
        let batches: Vec<Vec<Event>> = (0..callbacks as u64)
            .map(|batch| {
                let first = self.next + batch * size as u64;
                (first..first + size as u64).map(|index| generator.event(&kind, index, now)).collect()
            })
            .collect();
        self.next += (callbacks * size) as u64;
        token::bodies(self.material, &batches, now / 1000).expect("signatures")
    }
}

/// Seconds that a verification takes, nothing else: a digest and a signature, the key ready.
fn bare_rsa() -> f64 {
    use openssl::{md::Md, pkey::PKey, pkey_ctx::PkeyCtx, rsa::Rsa};
    let pair = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let mut signer = PkeyCtx::new(&pair).expect("a context");
    signer.sign_init().expect("signing");
    signer.set_signature_md(Md::sha256()).expect("SHA-256");
    let mut signature = Vec::new();
    signer.sign_to_vec(&[7; 32], &mut signature).expect("a signature");
    let mut verifier = PkeyCtx::new(&pair).expect("a context");
    verifier.verify_init().expect("verifying");
    verifier.set_signature_md(Md::sha256()).expect("SHA-256");
    let mut rounds: Vec<f64> = (0..20)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..2_000 {
                assert!(verifier.verify(&[7; 32], &signature).expect("an answer"));
            }
            began.elapsed().as_secs_f64() / 2_000.0
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
