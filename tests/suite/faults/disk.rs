//! The journal's disk is full while Kafka is away: what it has stays, what has no room is refused, and it heals.

use std::time::Duration;

use super::Run;
use crate::support::environment::SmallDisk;
use crate::support::fault_load::Plan;
use crate::support::fault_load::verify::Report;

const MEBIBYTES: u32 = 8;

pub(super) fn is_full(run: &mut Run, name: &str) -> Report {
    let disk = SmallDisk::mount(MEBIBYTES);
    let usual = run.environment.service.choices.clone();
    let limited = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let choices = &mut run.environment.service.choices;
    match &disk {
        Some(disk) => choices.journal = Some(disk.path().join("journal")),
        None => {
            choices.journal = Some(limited.path().join("journal"));
            choices.largest_file = Some(u64::from(MEBIBYTES) << 20);
        }
    }
    run.environment.bridge_is_replaced();
    run.environment.service.until_ready();
    let plan = Plan { padding: 6000, ..Plan::usual("disk") };
    let mut report = run.under(name, plan, |run, load| {
        run.environment.brokers_are_away(Duration::from_secs(20), |_| {
            load.until_said("overloaded", Duration::from_secs(20));
        });
    });
    report.must_have_said(&["overloaded"]);
    report.remarks.push(if disk.is_some() { "on a small file system" } else { "under a limit for files" }.to_owned());
    run.environment.service.choices = usual;
    run.environment.bridge_is_replaced();
    run.environment.service.until_ready();
    report
}
