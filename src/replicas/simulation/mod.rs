//! Deterministic simulation tests: seeded schedules drive up to three coordinators through outages, delayed records,
//! kills, restarts and pauses, and check the invariants after each step.

mod node;
mod tests;
mod world;
