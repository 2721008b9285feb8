//! Runs schedules, and checks that planted defects are found.

use super::coverage::Coverage;
use super::defects::Defect;
use super::plan::Plan;
use super::scheduler::{Scheduler, Violation};
use super::shrink::shrink;

/// Number of schedules of a normal test run.
const SCHEDULES: u64 = 40_000;

/// Each planted defect must be found within this many schedules.
const BUDGET: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn play(plan: &Plan, defect: Option<Defect>, tell: bool) -> Result<Coverage, Violation> {
    Scheduler::new(plan, defect, tell).run()
}

/// Returns the report on a failed schedule.
fn failure(seed: u64, violation: &Violation) -> String {
    let small = shrink(Plan::of(seed), |plan| play(plan, None, false).is_err());
    let Err(failure) = play(&small, None, true) else { return "the failure cannot be reproduced".to_owned() };
    let story = failure.story.join("\n");
    format!(
        "IDAAS_BRIDGE_SEED={seed}, after {} steps: {}\nSmaller, after {} steps: {}\n{small:#?}\n{story}\n{}",
        violation.steps, violation.what, failure.steps, failure.what, failure.what
    )
}

#[test]
fn nothing_is_lost_in_tens_of_thousands_of_schedules() {
    let (first, count) = (number("IDAAS_BRIDGE_SEED").unwrap_or(0), number("IDAAS_BRIDGE_SCHEDULES"));
    let mut sum = Coverage::default();
    for seed in first..first + count.unwrap_or(SCHEDULES) {
        match play(&Plan::of(seed), None, false) {
            Ok(passed) => sum.add(&passed),
            Err(violation) => panic!("{}", failure(seed, &violation)),
        }
    }
    if count.is_none() {
        sum.assert_that_all_was_tried(SCHEDULES);
    }
}

#[test]
fn every_planted_defect_is_found() {
    let missed: Vec<_> = Defect::ALL
        .into_iter()
        .filter(|defect| (0..BUDGET).all(|seed| play(&Plan::of(seed), Some(*defect), false).is_ok()))
        .collect();
    assert!(missed.is_empty(), "not found in {BUDGET} schedules: {missed:?}");
}

#[test]
fn a_schedule_is_the_same_each_time() {
    for seed in 0..200 {
        let plan = Plan::of(seed);
        let [one, other] = [0, 1].map(|_| play(&plan, Some(Defect::TwoInFlight), true));
        match (one, other) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "{seed}"),
            (Err(one), Err(other)) => assert_eq!(one.story, other.story, "{seed}"),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{seed} fails by chance"),
        }
    }
}

#[test]
fn a_failing_schedule_becomes_smaller() {
    let fails = |plan: &Plan| play(plan, Some(Defect::JoinLost), false).is_err();
    let seed = (0..BUDGET).find(|seed| fails(&Plan::of(*seed))).unwrap();
    let small = shrink(Plan::of(seed), fails);
    assert!(fails(&small));
    assert!(small.callbacks.len() <= 2, "an event that two callbacks bring is all it takes: {small:?}");
}
