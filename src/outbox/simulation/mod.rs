//! The outbox, proven by chance: machines are driven by a seeded scheduler against a broker, disks and senders that do
//! the worst they can, and after every step everything that was promised is looked at.

mod audit;
mod broker;
mod cargo;
mod dice;
mod disk;
mod fate;
mod ledger;
mod life;
mod look;
mod machine;
mod plan;
mod replica;
mod sender;
mod world;

use plan::Plan;
use world::World;

#[test]
fn nothing_is_lost_in_thousands_of_schedules() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let from: u64 = std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut kinds: std::collections::BTreeMap<String, (usize, u64)> = Default::default();
    let mut sum = (0u64, 0usize, 0usize, 0usize, 0usize);
    for seed in from..from + n {
        let plan = Plan::of(seed);
        match World::new(&plan, None, n == 1).run() {
            Ok(p) => { sum.0 += p.steps; sum.1 += p.deliveries; sum.2 += p.records; sum.3 += p.duplicates; sum.4 += p.crashes; }
            Err(v) => {
                if n == 1 { println!("{plan:#?}"); for l in &v.story { println!("{l}"); } println!("{}", v.what); }
                let what: String = v.what.split_once(": ").unwrap().1.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
                let e = kinds.entry(what).or_insert((0, seed));
                e.0 += 1;
            }
        }
    }
    println!("{sum:?}");
    for (k, v) in &kinds { println!("{v:?} {k}"); }
    assert!(kinds.is_empty());
}
