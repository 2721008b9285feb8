//! The bridge itself killed, or replaced in order, under load.

use std::time::Duration;

use super::Run;
use crate::support::fault_load::verify::Report;

/// At random instants: while all is well; while every broker is away, so that events wait in the journal; and when the
/// brokers are just back, so that these are being published.
pub(super) fn is_killed(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, load| {
        for _ in 0..run.either(1, 8) {
            std::thread::sleep(run.a_moment(Duration::from_secs(2)));
            run.environment.bridge_is_killed();
            load.go_on_for(100);
        }
        let delay = Duration::from_secs(10) + run.a_moment(Duration::from_secs(3));
        run.environment.kafka.kill_all();
        std::thread::sleep(delay);
        run.environment.bridge_is_killed();
        load.go_on_for(100);
        run.environment.kafka.restart_all();
        std::thread::sleep(run.a_moment(Duration::from_secs(2)));
        run.environment.bridge_is_killed();
        run.environment.in_sync(3);
    });
    report.must_have_said(&["cut off", "nobody listened"]);
    report.must_have_said(&["not_confirmed"]);
    report.must_refuse_nothing();
    report
}

/// By a signal while all is well, which ends it in order; and while every broker is away, by two of them, so that it
/// may not even use its time.
pub(super) fn is_replaced(run: &mut Run, name: &str) -> Report {
    let mut codes = Vec::new();
    let mut report = run.under_load(name, |run, load| {
        for _ in 0..run.either(2, 6) {
            codes.push(run.environment.bridge_is_replaced());
            load.go_on_for(100);
        }
        run.environment.kafka.kill_all();
        load.until_said("not_confirmed", Duration::from_secs(20));
        run.environment.service.terminate_impatiently();
        run.environment.service.start();
        load.go_on_for(100);
        run.environment.kafka.restart_all();
        run.environment.in_sync(3);
    });
    report.must_have_said(&["cut off", "nobody listened", "503 draining"]);
    report.must_refuse_nothing();
    if codes.iter().any(|code| *code != 0) {
        report.complaints.push(format!("it ended with the exit codes {codes:?}, and all was well"));
    }
    report
}
