//! The outbox, tried by chance: machines are driven by a seeded scheduler against a broker, disks and senders that do the
//! worst they can, and after every step everything that must hold is looked at.
//!
//! One seed is one schedule, and always the same one. A failing one is printed with all that its failure does not need
//! taken out. Run in release, and one test thread is enough:
//!
//! - `cargo test --release -p outbox` tries what every landing has to stand;
//! - `IDAAS_BRIDGE_SCHEDULES=1000000 cargo test --release -p outbox simulation::tests::nothing` tries more, and
//!   `IDAAS_BRIDGE_SEED=…` begins elsewhere;
//! - `IDAAS_BRIDGE_SCHEDULES=1 IDAAS_BRIDGE_SEED=…` plays one schedule again.

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
