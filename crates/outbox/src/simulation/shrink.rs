//! Removes everything from a schedule that its failure does not need.

use super::plan::{Fault, Plan};

/// Maximum number of schedules that are run.
const TRIES: usize = 3_000;

/// Returns a smaller schedule that `fails` too, or the schedule itself if there is none.
pub(super) fn shrink(plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut best = plan;
    let mut tries = 0;
    'again: loop {
        for candidate in candidates(&best) {
            tries += 1;
            if tries > TRIES {
                return best;
            }
            if fails(&candidate) {
                best = candidate;
                continue 'again;
            }
        }
        return best;
    }
}

/// Returns schedules with a little less in them.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for index in 0..plan.faults.len() {
        with(&|plan| {
            plan.faults.remove(index);
        });
    }
    for index in 0..plan.callbacks.len() {
        with(&|plan| drop(plan.callbacks.remove(index)));
    }
    for (index, callback) in plan.callbacks.iter().enumerate().filter(|(_, callback)| callback.events.len() > 1) {
        for position in 0..callback.events.len() {
            with(&|plan| {
                plan.callbacks[index].events.remove(position);
            });
        }
    }
    for (index, Fault { length, .. }) in plan.faults.iter().enumerate().filter(|(_, fault)| fault.length > 100) {
        with(&|plan| plan.faults[index].length = length / 2);
    }
    if plan.following {
        with(&|plan| plan.following = false);
    }
    if plan.replicas > 1 && plan.faults.iter().all(|fault| fault.replica + 1 < plan.replicas) {
        with(&|plan| plan.replicas -= 1);
    }
    if plan.latency > 2 {
        with(&|plan| plan.latency = 2);
    }
    if plan.tick > 1 {
        with(&|plan| plan.tick = 1);
    }
    all
}
