//! Nothing is lost: three nodes of Apache Kafka, the program, and a sender with IDaaS's schedule, while things break.
//!
//! The scenarios come one after the other on one scene; each has a load of its own, and is judged alone. Their order is
//! part of them: a bridge that was hurt by one shows it in the next. With `BRIDGE_FAULTS=long` the faults last
//! longer and come more often; `BRIDGE_FAULTS_ONLY=disk` runs the scenarios whose name has that word;
//! `BRIDGE_FAULTS_SEED` repeats the random instants of a run:
//!
//! ```sh
//! BRIDGE_FAULTS=long cargo test --release --test suite -- --exact faults::nothing_is_lost_while_things_break
//! ```

mod bridge;
mod brokers;
mod disk;
mod keys;

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::environment::Environment;
use crate::support::fault_load::verify::Report;
use crate::support::fault_load::{Load, Plan};

/// What a scenario has to work with.
struct Run {
    environment: Environment,
    long: bool,
    random: fastrand::Rng,
}

impl Run {
    /// The one in the short version, the other in the long one.
    fn either<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }

    /// A moment at random, up to that long.
    fn a_moment(&mut self, at_most: Duration) -> Duration {
        Duration::from_millis(self.random.u64(0..=u64::try_from(at_most.as_millis()).unwrap()))
    }

    /// Some load, the fault, some load, the verdict.
    fn under_load(&mut self, name: &str, fault: impl FnOnce(&mut Self, &Load)) -> Report {
        let label: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        self.under(name, Plan::usual(&label), fault)
    }

    fn under(&mut self, name: &str, plan: Plan, fault: impl FnOnce(&mut Self, &Load)) -> Report {
        let load = self.environment.load(plan);
        load.go_on_for(200);
        fault(self, &load);
        load.go_on_for(200);
        self.environment.judge(name, load)
    }
}

type Scenario = fn(&mut Run, &str) -> Report;

/// In the order in which they come.
const SCENARIOS: [(&str, Scenario); 9] = [
    ("broker killed", brokers::one_is_killed),
    ("broker hangs", brokers::one_hangs),
    ("leaders moved", brokers::leaders_move),
    ("all brokers away", brokers::all_are_away),
    ("bridge killed", bridge::is_killed),
    ("bridge replaced", bridge::is_replaced),
    ("disk full", disk::is_full),
    ("key endpoint away", keys::endpoint_is_away),
    ("encryption key late", keys::encryption_key_comes_late),
];

#[test]
fn nothing_is_lost_while_things_break() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(environment) = Environment::start() else { return };
    let seed = variable("BRIDGE_FAULTS_SEED").map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    let long = variable("BRIDGE_FAULTS").as_deref() == Some("long");
    let only = variable("BRIDGE_FAULTS_ONLY").unwrap_or_default();
    say(&format!("BRIDGE_FAULTS_SEED={seed}"));
    let mut run = Run { environment, long, random: fastrand::Rng::with_seed(seed) };
    let mut broken = Vec::new();
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(&only)) {
        let began = Instant::now();
        let report = scenario(&mut run, name);
        say(&format!("{report} [took {:.0} s]", began.elapsed().as_secs_f64()));
        let faults = report.faults();
        if !faults.is_empty() {
            say(&faults.join("\n"));
            broken.push(*name);
        }
    }
    assert!(broken.is_empty(), "broken: {broken:?}; the bridge's log ends so:\n{}", run.environment.service.log_tail());
}

/// Past the test runner's capture: a proof of some minutes is to be watched.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "faults: {text}");
}
