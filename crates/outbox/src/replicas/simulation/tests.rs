//! Runs the schedules, and checks that planted defects are found.

use super::plan::{Defect, Outage, Plan};
use super::scheduler::{LATE_EVENTS, Scheduler};

/// How many schedules of each kind are run. `IDAAS_BRIDGE_SCHEDULES` and `IDAAS_BRIDGE_SEED` work as for the outbox.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("IDAAS_BRIDGE_SEED").unwrap_or(0);
    first..first + number("IDAAS_BRIDGE_SCHEDULES").unwrap_or(usual)
}

/// Returns the share of events after the outage that are published twice, in thousandths.
fn try_all(outage: Outage, faults: bool, replicas: &[u64]) -> usize {
    let (mut events, mut twice) = (0, 0);
    for seed in seeds(40) {
        for replicas in replicas {
            let plan = Plan { seed, replicas: *replicas, outage, faults, defect: None };
            match Scheduler::new(plan).run() {
                Ok(late) => (events, twice) = (events + LATE_EVENTS, twice + late),
                Err(problem) => panic!("{plan:?}: {problem}"),
            }
        }
    }
    twice * 1000 / events
}

#[test]
fn calm_outage_publishes_once_and_in_order() {
    try_all(Outage::Cluster, false, &[1, 2, 3]);
}

#[test]
fn events_after_an_outage_are_hardly_published_twice() {
    let twice = [2, 3].map(|replicas| try_all(Outage::Cluster, false, &[replicas]));
    assert!(twice.iter().all(|twice| *twice <= 50), "of two and three replicas, in thousandths: {twice:?}");
}

#[test]
fn kills_pauses_and_disconnects_hold_nothing_for_ever() {
    try_all(Outage::Cluster, true, &[1, 2, 3]);
}

#[test]
fn partition_outage_publishes_once_and_in_order() {
    let twice = [2, 3].map(|replicas| try_all(Outage::Partition, false, &[replicas]));
    assert!(twice.iter().all(|twice| *twice <= 50), "of two and three replicas, in thousandths: {twice:?}");
    try_all(Outage::Partition, false, &[1]);
}

#[test]
fn faults_around_a_partition_outage_hold_nothing_for_ever() {
    try_all(Outage::Partition, true, &[1, 2, 3]);
}

fn finds(defect: Defect, faults: bool, message: &str) {
    finds_in(Outage::Cluster, 2, defect, faults, message);
}

fn finds_in(outage: Outage, replicas: u64, defect: Defect, faults: bool, message: &str) {
    let found = (0..200).find_map(|seed| {
        let plan = Plan { seed, replicas, outage, faults, defect: Some(defect) };
        Scheduler::new(plan).run().err().filter(|problem| problem.contains(message))
    });
    assert!(found.is_some(), "{defect:?} is not found");
}

#[test]
fn two_replicas_on_one_lane_are_found() {
    finds(Defect::HoldsNothing, false, "both replay");
}

#[test]
fn unclaimed_lanes_that_filled_at_two_replicas_are_found() {
    finds_in(Outage::Cluster, 3, Defect::ExtendsNothing, false, "both replay what filled");
}

#[test]
fn lanes_held_for_ever_are_found() {
    finds(Defect::NeverDone, false, "holds lanes for ever");
}

#[test]
fn endless_waiting_is_found() {
    finds(Defect::WaitsForEver, true, "waits too long");
}

#[test]
fn releasing_before_learning_is_found() {
    finds(Defect::LearnsNothing, false, "published twice");
}

#[test]
fn recovery_without_asking_others_is_found() {
    finds_in(Outage::Partition, 2, Defect::RecoversAlone, false, "published twice");
    finds_in(Outage::Partition, 2, Defect::HoldsNothing, false, "both replay");
}

#[test]
fn lanes_that_never_recover_are_found() {
    finds_in(Outage::Partition, 2, Defect::NeverRecovers, false, "waits too long for a partition");
}
