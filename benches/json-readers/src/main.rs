//! Compares the project's JSON reader with `serde_json` and `sonic-rs` (docs/decisions/0006-json-reader.md).
//!
//! First it checks that all make the same records. Then it prints what each guarantees, and what a whole callback
//! (`prepare`) costs with each, in processor time of the thread. The readers take turns within a round, and a ratio is the
//! median of the ratios of all rounds, so that other load on the machine disturbs little.

mod cases;
mod guarantees;
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
#[path = "../../../crates/idaas-callback/src/json/mod.rs"]
mod own;

use std::hint::black_box;
use std::sync::Arc;

use cases::Case;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 31;

/// How long one reader takes its turn, in nanoseconds.
const TURN: f64 = 15e6;

/// A callback prepared with one reader: its name, a run for the measurement, and the records.
type Contender = (&'static str, Box<dyn Fn()>, Vec<(Arc<str>, Option<String>, Vec<u8>)>);

/// The processor time of this thread, in nanoseconds.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds that one of `times` runs takes.
fn time(run: &dyn Fn(), times: u64) -> f64 {
    let begin = now();
    (0..times).for_each(|_| run());
    (now() - begin) as f64 / times as f64
}

/// Bytes that one run allocates.
fn allocated(run: &dyn Fn()) -> u64 {
    let counter = tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics of jemalloc");
    let begin = counter.get();
    run();
    counter.get() - begin
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prepares `$case` with the crate `$callback`.
macro_rules! contender {
    ($name:literal, $callback:ident, $case:expr) => {{
        use $callback::jose::{jwe::ContentKey, jws::KeySet};
        use $callback::{Disposition, RequestContext, policy, prepare_without_observer};
        let key = Arc::new(ContentKey::from_hex(&$case.key).expect("a key"));
        let keys = KeySet::parse($case.jwks.as_bytes()).expect("a key set");
        let policy = policy::Policy {
            application_id: $case.application.clone(),
            instance_id: None,
            clock_skew: 60,
            decryption_keys: vec![key.clone()],
            require_encryption: true,
            passwords: policy::Passwords::Drop,
            skip: Default::default(),
            topics: policy::Topics::with_prefix("idaas"),
            mode: policy::EventMode::Binary,
            journal_keys: vec![key],
            max_record_bytes: 9_000_000,
        };
        let request = RequestContext { received_at: $case.at * 1000, traceparent: None };
        let prepared = prepare_without_observer($case.body.as_bytes(), &keys, &policy, request);
        let events = prepared.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", $case.name)).events;
        let records = events.into_iter().map(|event| match event.disposition {
            Disposition::Publish { record, .. } => (record.topic, record.key, record.value),
            _ => panic!("{}: not published", $case.name),
        });
        let (records, body) = (records.collect(), $case.body.clone());
        let run = move || assert!(black_box(prepare_without_observer(black_box(body.as_bytes()), &keys, &policy, request)).is_ok());
        ($name, Box::new(run) as Box<dyn Fn()>, records)
    }};
}

/// Prepares a callback with each reader, and checks that the records are the same. The first is the project's own.
fn contenders(case: &Case) -> [Contender; 3] {
    let contenders: [Contender; 3] = [
        contender!("own", idaas_callback, case),
        contender!("serde_json", callback_on_serde_json, case),
        contender!("sonic-rs", callback_on_sonic_rs, case),
    ];
    for (name, _, records) in &contenders {
        assert!(*records == contenders[0].2, "{}: {name} makes other records", case.name);
    }
    contenders
}

/// Measures and prints one row for each reader.
fn compare(case: &Case, contenders: &[Contender; 3]) {
    let times = contenders.each_ref().map(|(_, run, _)| {
        time(run, 3);
        (TURN / time(run, 3)).ceil() as u64
    });
    let mut taken = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            taken[which].push(time(&contenders[which].1, times[which]));
        }
    }
    for ((name, run, _), spent) in contenders.iter().zip(&taken) {
        let ratios = spent.iter().zip(&taken[0]).map(|(time, own)| time / own).collect();
        let (time, ratio) = (median(spent.clone()) / 1000.0, median(ratios));
        println!("| {} | {name} | {time:.1} | {ratio:.2} | {} |", case.name, allocated(run) / 1024);
    }
}

fn main() {
    if let Some(reader) = std::env::args().nth(1) {
        return guarantees::read_deep(&reader);
    }
    for case in cases::foreign() {
        drop(contenders(&case));
    }
    let cases: Vec<_> = cases::measured().into_iter().map(|case| (contenders(&case), case)).collect();
    println!("All readers make the same records.\n");
    guarantees::print();
    println!("\n| callback | reader | µs | ratio | KiB allocated |\n|---|---|---|---|---|");
    for (contenders, case) in &cases {
        compare(case, contenders);
    }
}
