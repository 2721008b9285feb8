//! Compares the project's own reader of JSON with `serde_json` and `sonic-rs`: `just bench-json`.
//!
//! First what each guarantees, then the time of the reader alone and of a whole callback (`prepare`), in the processor time
//! of this thread. The readers take turns within a round, and a ratio is the median of the ratios of all rounds.

mod guarantees;
mod own;
mod payloads;
mod simulator;
mod trees;

use std::hint::black_box;

use payloads::Case;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 31;

/// How long one reader takes its turn, in nanoseconds.
const TURN: u64 = 15_000_000;

/// What is measured, by its name. The first is what the others are compared with.
type Contender<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// The processor time of this thread, in nanoseconds.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds that one of `times` runs takes.
fn time(run: &mut dyn FnMut(), times: u64) -> f64 {
    let begin = now();
    for _ in 0..times {
        run();
    }
    (now() - begin) as f64 / times as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes that one run allocates.
fn allocated(run: &mut dyn FnMut()) -> u64 {
    let counter = tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics of jemalloc");
    let begin = counter.get();
    run();
    counter.get() - begin
}

/// Measures and prints one row per contender. Returns the median nanoseconds of the first.
fn compare(title: &str, input: usize, mut contenders: Vec<Contender<'_>>) -> f64 {
    let mut times = Vec::new();
    for (_, run) in &mut contenders {
        time(run, 3);
        times.push((TURN as f64 / time(run, 3).max(1.0)).ceil() as u64);
    }
    let mut taken = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        // Each begins as often as the others.
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            taken[which].push(time(&mut contenders[which].1, times[which]));
        }
    }
    for (which, (name, run)) in contenders.iter_mut().enumerate() {
        let ratios = taken[which].iter().zip(&taken[0]).map(|(time, own)| time / own).collect();
        let memory = allocated(run) as f64 / input as f64;
        let (time, ratio) = (median(taken[which].clone()) / 1000.0, median(ratios));
        println!("| {title} | {name} | {time:.1} | {ratio:.2} | {memory:.1} |");
    }
    median(taken[0].clone())
}

/// The reader alone: from the text of a payload to all names and texts in it.
fn readers(case: &Case) -> f64 {
    let payload = case.payload.as_str();
    let sum = own::walk::payload(payload).expect("a payload");
    let reader = |name, read: fn(&str) -> Option<usize>| -> Contender<'_> {
        assert_eq!(read(payload), Some(sum), "{name} reads something else of {}", case.name);
        (name, Box::new(move || assert_eq!(black_box(read(black_box(payload))), Some(sum))))
    };
    compare(
        case.name,
        payload.len(),
        vec![
            reader("own", own::walk::payload),
            reader("serde_json, borrowed", callback_on_serde_json::walk::payload),
            reader("serde_json::Value", trees::serde_json),
            reader("sonic-rs, lazy", callback_on_sonic_rs::walk::payload),
            reader("sonic_rs::Value", trees::sonic_rs),
        ],
    )
}

/// A whole callback, and that each makes the same records.
fn callbacks(case: &Case) -> f64 {
    macro_rules! prepare {
        ($callback:ident, $keys:ident, $policy:ident) => {
            let $keys = $callback::jose::jws::KeySet::parse(case.jwks.as_bytes()).expect("a key set");
            let $policy = payloads::policy!($callback, case);
        };
    }
    macro_rules! records {
        ($callback:ident, $keys:ident, $policy:ident) => {{
            let moment = $callback::RequestContext { received_at: case.at * 1000, traceparent: None };
            let prepared = $callback::prepare(case.body.as_bytes(), &$keys, &$policy, moment);
            let items = prepared.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name)).items;
            let records = items.into_iter().map(|item| match item.plan {
                $callback::Disposition::Publish { record, .. } => (record.topic, record.key, record.value),
                _ => panic!("{}: not published", case.name),
            });
            records.collect::<Vec<_>>()
        }};
    }
    macro_rules! contender {
        ($name:literal, $callback:ident, $keys:ident, $policy:ident) => {{
            let moment = $callback::RequestContext { received_at: case.at * 1000, traceparent: None };
            let run = move || {
                let prepared = $callback::prepare(black_box(case.body.as_bytes()), $keys, $policy, moment);
                assert!(black_box(prepared).is_ok());
            };
            ($name, Box::new(run) as Box<dyn FnMut()>)
        }};
    }
    prepare!(idaas_callback, own_keys, own_policy);
    prepare!(callback_on_serde_json, serde_keys, serde_policy);
    prepare!(callback_on_sonic_rs, sonic_keys, sonic_policy);
    let expected = records!(idaas_callback, own_keys, own_policy);
    assert!(expected == records!(callback_on_serde_json, serde_keys, serde_policy), "{}: serde_json", case.name);
    assert!(expected == records!(callback_on_sonic_rs, sonic_keys, sonic_policy), "{}: sonic-rs", case.name);
    let (own_keys, own_policy) = (&own_keys, &own_policy);
    let (serde_keys, serde_policy) = (&serde_keys, &serde_policy);
    let (sonic_keys, sonic_policy) = (&sonic_keys, &sonic_policy);
    compare(
        case.name,
        case.payload.len(),
        vec![
            contender!("own", idaas_callback, own_keys, own_policy),
            contender!("serde_json, borrowed", callback_on_serde_json, serde_keys, serde_policy),
            contender!("sonic-rs, lazy", callback_on_sonic_rs, sonic_keys, sonic_policy),
        ],
    )
}

fn main() {
    guarantees::print();
    let cases = payloads::cases();
    println!(
        "\nThe reader alone. Ratio: time by that of the own reader; memory: bytes allocated per byte of payload.\n"
    );
    println!("| payload | reader | µs | ratio | memory |\n|---|---|---|---|---|");
    let alone: Vec<_> = cases.iter().map(readers).collect();
    println!("\nA whole callback (`prepare`): signature, decryption, reading, records.\n");
    println!("| payload | reader | µs | ratio | memory |\n|---|---|---|---|---|");
    let whole: Vec<_> = cases.iter().map(callbacks).collect();
    println!("\n| payload | bytes | share of the own reader in a callback |\n|---|---|---|");
    for ((case, alone), whole) in cases.iter().zip(alone).zip(whole) {
        println!("| {} | {} | {:.0} % |", case.name, case.payload.len(), 100.0 * alone / whole);
    }
}
