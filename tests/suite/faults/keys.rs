//! Keys in trouble: the endpoint of the public ones is away when the bridge starts, the encryption key comes late.

use std::time::Duration;

use super::Run;
use crate::support::fault_load::verify::Report;

pub(super) fn endpoint_is_away(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, load| {
        run.environment.endpoint.go_away();
        run.environment.bridge_is_replaced();
        load.go_on_for(run.either(300, 1500));
        run.environment.endpoint.come_back();
    });
    report.must_refuse_nothing();
    report
}

/// The administrator changes the key at the instance first, and in the bridge's configuration some seconds later. What
/// IDaaS sends no more by then is published all the same.
pub(super) fn encryption_key_comes_late(run: &mut Run, name: &str) -> Report {
    let mut report = run.under_load(name, |run, load| {
        load.encrypt_with(run.environment.tenant_keys[1].clone());
        load.until_said("422 undecryptable", Duration::from_secs(10));
        load.go_on_for(run.either(200, 1000));
        run.environment.service.choices.next_key = true;
        run.environment.service.reload();
    });
    report.must_have_said(&["422 undecryptable"]);
    report.must_refuse_nothing();
    report
}
