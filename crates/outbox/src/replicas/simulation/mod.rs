//! Deterministic simulation tests: seeded schedules drive up to three coordinators through outages, delayed records,
//! kills, restarts and pauses, and check the invariants after each step.

mod arrivals;
mod judge;
mod node;
mod partition;
mod plan;
mod scheduler;
mod tests;
