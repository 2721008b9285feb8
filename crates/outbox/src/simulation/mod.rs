//! Deterministic simulation tests: a seeded scheduler drives the outbox against a faulty broker, disk and sender, and
//! checks every invariant after each step.
//!
//! One seed is one schedule, and always the same one. A failing schedule is printed with everything removed that its
//! failure does not need. Run in release mode; one test thread is enough:
//!
//! - `cargo test --release -p outbox` runs the normal number of schedules;
//! - `IDAAS_BRIDGE_SCHEDULES=1000000 cargo test --release -p outbox simulation::tests::nothing` runs more, and
//!   `IDAAS_BRIDGE_SEED=…` starts with another seed;
//! - `IDAAS_BRIDGE_SCHEDULES=1 IDAAS_BRIDGE_SEED=…` repeats one schedule.

mod audit;
mod broker;
mod coverage;
mod defects;
mod disk;
mod incarnation;
mod invariants;
mod journal_io;
mod machine;
mod oracle;
mod payload;
mod plan;
mod process_faults;
mod replica;
mod rng;
mod scheduler;
mod sender;
mod shrink;
mod tail;
mod tests;
