//! The bridge for a long time under load, with a fault each minute: `scripts/soak [MINUTES]`.
//!
//! 200 callbacks per second and one of 100 events each second, on a real three-node Apache Kafka. The bridge itself is
//! killed and replaced in the first half only, so that its last run is long enough to tell whether it grows. Ends with
//! a verdict: nothing lost, no false success, the order kept, the journal empty, memory and open files flat.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(dead_code, unused_imports, reason = "what tests share is more than what is needed here")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod faults;
mod flatness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use support::environment::Environment;
use support::environment::watch::{Sample, Watch};
use support::fault_load::Plan;

const MINUTE: Duration = Duration::from_secs(60);
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too, and wants to know only whether it builds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let minutes: u32 = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(30);
    let mut environment = Environment::start().expect("Java and Maven, for a real Kafka");
    let samples = Samples::start(environment.service.watch.clone());
    let load = environment.load(Plan { rate: 200, ..Plan::usual("soak") });
    println!(
        "minute  fault                       healed  callbacks/s  slowest     memory  open files  journal, most and now"
    );
    for minute in 0..minutes {
        let (began, contacts, first) = (Instant::now(), load.ledger().contacts(), samples.count());
        // The last minute is quiet.
        let fault = if minute + 1 < minutes { faults::any(minute < minutes / 2) } else { &faults::NONE };
        (fault.make)(&mut environment);
        let healed = began.elapsed();
        std::thread::sleep(MINUTE.saturating_sub(began.elapsed()));
        let (count, slowest) = load.ledger().since(contacts);
        let seen = samples.from(first);
        println!(
            "{:>6}  {:<26}  {:>4.0} s  {:>11.0}  {:>5.2} s  {:>5} MiB  {:>4} to {:<4} {:>12} {:>8}",
            minute + 1,
            fault.name,
            healed.as_secs_f64(),
            count as f64 / began.elapsed().as_secs_f64(),
            slowest.as_secs_f64(),
            seen.iter().map(|sample| sample.memory / 1024).max().unwrap_or_default(),
            seen.iter().map(|sample| sample.open_files).min().unwrap_or_default(),
            seen.iter().map(|sample| sample.open_files).max().unwrap_or_default(),
            seen.iter().map(|sample| sample.journal).max().unwrap_or_default(),
            seen.last().map(|sample| sample.journal).unwrap_or_default(),
        );
    }
    let mut report = environment.judge("soak", load);
    report.must_refuse_nothing();
    let flatness = flatness::of_last_process_run(&samples.from(0));
    println!("{report}\n{flatness}");
    report.complaints.extend(flatness.complaints());
    let faults = report.faults();
    if faults.is_empty() {
        println!("verdict: holds");
    } else {
        println!(
            "verdict: BROKEN\n{}\nthe bridge's log ends so:\n{}",
            faults.join("\n"),
            environment.service.log_tail()
        );
        drop(environment);
        std::process::exit(1);
    }
}

/// Takes a sample every other second, until the process ends.
struct Samples {
    taken: Arc<Mutex<Vec<Sample>>>,
    ends: Arc<AtomicBool>,
}

impl Samples {
    fn start(watch: Watch) -> Self {
        let (taken, ends) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (into, end) = (Arc::clone(&taken), Arc::clone(&ends));
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                into.lock().extend(watch.sample());
                std::thread::sleep(BETWEEN_SAMPLES);
            }
        });
        Self { taken, ends }
    }

    fn count(&self) -> usize {
        self.taken.lock().len()
    }

    fn from(&self, first: usize) -> Vec<Sample> {
        self.taken.lock()[first..].to_vec()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}
