//! Kafka in trouble, with the bridge going on.

use std::time::Duration;

use super::Run;
use crate::support::fault_load::verify::Report;

pub(super) fn one_is_killed(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, _| {
        for _ in 0..run.either(1, 3) {
            run.environment.broker_is_killed();
        }
    });
    report.must_refuse_nothing();
    report
}

pub(super) fn one_hangs(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, _| run.environment.broker_hangs(Duration::from_secs(15)));
    report.must_refuse_nothing();
    report
}

pub(super) fn leaders_move(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, load| {
        for _ in 0..run.either(1, 5) {
            run.environment.leaders_move();
            load.go_on_for(100);
        }
    });
    report.must_refuse_nothing();
    report
}

pub(super) fn all_are_away(run: &mut Run, name: &str) -> Report {
    let time = Duration::from_secs(run.either(20, 60));
    let mut report = run.under_load(name, |run, _| run.environment.brokers_are_away(time, |_| ()));
    report.must_have_said(&["not_confirmed"]);
    report.must_refuse_nothing();
    report
}
