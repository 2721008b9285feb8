//! Shutdown under load: no connection is cut off, and every answer is true.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_simulator::kind::Kind;

use super::{assert_success, event, users};
use crate::support::bridge::{Caller, Setup, TestBridge};
use crate::support::http::{Connection, request};
use crate::support::slow_disk::SlowDisk;

/// What became of a request during the shutdown.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum CallOutcome {
    Answered(String),
    Draining,
    /// The port was closed: nothing was taken.
    NotConnected,
    /// The server had closed the connection before the request.
    Closed,
    Wrong(String),
}

fn outcome(caller: &Caller, connection: &mut Option<Connection>, number: u64) -> CallOutcome {
    let event = event(Kind::UserUpdateInfo, number);
    let body = caller.callback().events(std::slice::from_ref(&event)).body().unwrap();
    let request = request("POST", &caller.path(), &[], body.as_bytes());
    let is_new = connection.is_none();
    if is_new {
        match Connection::open(caller.listen) {
            Ok(opened) => *connection = Some(opened),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return CallOutcome::NotConnected,
            Err(error) => return CallOutcome::Wrong(format!("connect: {error}")),
        }
    }
    let reply = match connection.as_mut().unwrap().exchange(&request) {
        Ok(reply) => reply,
        Err(error) => {
            *connection = None;
            return if error.kind() == ErrorKind::UnexpectedEof {
                CallOutcome::Closed
            } else {
                CallOutcome::Wrong(format!("{} connection: {error}", if is_new { "new" } else { "kept" }))
            };
        }
    };
    if reply.header("connection") == Some("close") {
        *connection = None;
    }
    match reply.status {
        200 if reply.text().contains("SUCCESS") => CallOutcome::Answered(event.event_id),
        503 if reply.json()["error"] == "draining" => CallOutcome::Draining,
        status => CallOutcome::Wrong(format!("{status}: {}", reply.text())),
    }
}

fn end_under_load(keep_alive: bool, connections: u64) {
    let mut bridge = Setup::new().spawn();
    let senders: Vec<_> = (0..connections)
        .map(|sender| {
            let caller = Arc::clone(&bridge);
            std::thread::spawn(move || {
                let (mut fates, mut connection, mut number) = (Vec::new(), None, sender * 1_000_000);
                loop {
                    if !keep_alive {
                        connection = None;
                    }
                    let outcome = outcome(&caller, &mut connection, number);
                    number += 1;
                    let last = matches!(outcome, CallOutcome::NotConnected | CallOutcome::Wrong(_));
                    fates.push(outcome);
                    if last {
                        return fates;
                    }
                }
            })
        })
        .collect();
    let answered = [("code", "answered")];
    crate::support::records::retry(|| match bridge.metric("callbacks_total", &answered) {
        count if count > 200.0 => Ok(()),
        count => Err(format!("{count}")),
    });
    assert!(bridge.end(), "{}", bridge.program().log());
    let fates: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let wrong: Vec<_> = fates.iter().filter(|outcome| matches!(outcome, CallOutcome::Wrong(_))).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), fates.len());
    let records = bridge.records();
    let published: std::collections::BTreeSet<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
    assert_eq!(published.len(), records.len(), "something was published twice");
    for outcome in &fates {
        if let CallOutcome::Answered(id) = outcome {
            assert!(published.contains(id.as_str()), "{id} was answered as a success and is not there");
        }
    }
}

#[test]
fn sigterm_under_load_resets_no_new_connection() {
    end_under_load(false, 8);
}

#[test]
fn sigterm_under_load_cuts_no_kept_connection_off() {
    end_under_load(true, 8);
}

#[test]
fn an_idle_kept_connection_does_not_hold_the_end_up() {
    let mut bridge = Setup::new().server("drain_timeout = \"60s\"").spawn();
    let body = bridge.callback().events(&users(1)).body().unwrap();
    let mut idle = Connection::open(bridge.listen).unwrap();
    assert_eq!(idle.exchange(&request("POST", &bridge.path(), &[], body.as_bytes())).unwrap().status, 200);
    let _silent = Connection::open(bridge.listen).unwrap();
    let began = Instant::now();
    assert!(bridge.end());
    // Nothing was being worked on, so nothing uses the drain's limit up.
    assert!(began.elapsed() < Duration::from_secs(30), "the end took {:?}", began.elapsed());
    idle.closed().unwrap();
}

#[test]
fn unconfirmed_events_are_published_by_the_next_start() {
    let mut bridge = Setup::new().deadline(600).spawn();
    bridge.mock().broker_down(1).unwrap();
    assert!(bridge.send(&users(2)).values().all(|(_, code)| code == "not_confirmed"));
    assert!(bridge.end());
    bridge.mock().broker_up(1).unwrap();
    bridge.start_again();
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(bridge.records().len(), 2);
}

#[test]
fn callbacks_that_wait_for_kafka_do_not_hold_the_end_up() {
    let mut bridge = Setup::new().server("response_deadline = \"9s\"\ndrain_timeout = \"60s\"").spawn();
    bridge.mock().broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    let caller = Arc::clone(&bridge);
    let waiting = std::thread::spawn(move || caller.send(&users(1)));
    bridge.wait_metric("callbacks_in_flight", &[], 1.0);
    assert!(bridge.end());
    assert!(waiting.join().unwrap().values().all(|(_, code)| code == "not_confirmed"));
}

#[test]
fn a_second_signal_ends_the_drain() {
    let mut bridge = Setup::new().spawn();
    assert_success(&bridge.send(&users(1)));
    bridge.program().signal("INT");
    assert_eq!(bridge.program().wait(), Some(0));

    let mut bridge = Setup::new().server("response_deadline = \"9s\"\ndrain_timeout = \"60s\"").spawn();
    bridge.mock().broker_down(1).unwrap();
    let caller = Arc::clone(&bridge);
    let body = bridge.callback().events(&users(1)).body().unwrap();
    let mut waiting = Connection::open(caller.listen).unwrap();
    waiting.send(&request("POST", &caller.path(), &[], body.as_bytes())).unwrap();
    bridge.wait_metric("callbacks_in_flight", &[], 1.0);
    bridge.program().signal("TERM");
    bridge.program().wait_for(|line| line["code"] == "draining");
    bridge.program().signal("TERM");
    bridge.program().wait_for(|line| line["code"] == "second_signal");
    let began = Instant::now();
    assert_eq!(bridge.program().wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "the second signal waited {:?}", began.elapsed());
}

/// A program whose journal is slow when the disk is told to be.
fn on(disk: &SlowDisk, drain: &str) -> TestBridge {
    let setup = Setup::new().server(format!("response_deadline = \"1s\"\ndrain_timeout = \"{drain}\""));
    disk.environment().into_iter().fold(setup, |setup, (name, value)| setup.environment(name, value)).spawn()
}

/// Takes Kafka away and makes the disk slow, then sends events, which are not kept by their deadline.
fn fill(bridge: &TestBridge, disk: &SlowDisk) {
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    disk.set_slow(true);
    for from in (0..40).step_by(10) {
        let events: Vec<_> = (from..from + 10).map(|number| event(Kind::UserUpdateInfo, number)).collect();
        assert!(bridge.send(&events).values().all(|(_, code)| code == "overloaded"));
    }
}

#[test]
fn sigterm_waits_for_a_slow_disk_within_the_drain_timeout() {
    let disk = SlowDisk::new();
    let mut bridge = on(&disk, "100s");
    fill(&bridge, &disk);
    assert!(bridge.end(), "{}", bridge.program().log());
    assert!(!bridge.program().log().contains("not_kept"), "{}", bridge.program().log());
    disk.set_slow(false);
    bridge.mock().broker_up(1).unwrap();
    bridge.start_again();
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(bridge.records().len(), 40);
}

#[test]
fn sigterm_with_a_slow_disk_ends_at_the_drain_timeout() {
    let disk = SlowDisk::new();
    let mut bridge = on(&disk, "2s");
    fill(&bridge, &disk);
    let began = Instant::now();
    assert!(!bridge.end(), "{}", bridge.program().log());
    // The syncs that are left take longer.
    assert!(began.elapsed() < Duration::from_secs(9), "the end took {:?}", began.elapsed());
    let line = bridge.program().wait_for(|line| line["code"] == "not_kept");
    let not_kept = usize::try_from(line["events"].as_u64().unwrap()).unwrap();
    assert!((1..=40).contains(&not_kept), "{line}");
    disk.set_slow(false);
    bridge.mock().broker_up(1).unwrap();
    bridge.start_again();
    bridge.wait_metric("ready", &[], 1.0);
    bridge.wait_metric("journal_events", &[], 0.0);
    // What was being synced at the end may be there or not.
    let published = bridge.records().len();
    assert!(published >= 40 - not_kept, "{published} are published, and {not_kept} were not kept");
}

#[test]
fn sigterm_in_a_partial_outage_ends_as_soon_as_all_is_durable() {
    let mut bridge = Setup::new().server("response_deadline = \"2s\"\ndrain_timeout = \"100s\"").spawn();
    assert_success(&bridge.send(&users(1)));
    bridge.mock().partition_leader("idaas.user.v1", 1, None).unwrap();
    let events: Vec<_> = (100..130).map(|number| event(Kind::UserUpdateInfo, number)).collect();
    let verdicts = bridge.send(&events);
    let journaled = verdicts.values().filter(|(_, code)| code == "not_confirmed").count();
    assert!(journaled > 0 && verdicts.values().all(|(_, code)| code != "overloaded"), "{verdicts:?}");
    let began = Instant::now();
    assert!(bridge.end());
    assert!(began.elapsed() < Duration::from_secs(30), "the end took {:?}", began.elapsed());
    bridge.mock().partition_leader("idaas.user.v1", 1, Some(1)).unwrap();
    bridge.start_again();
    bridge.wait_metric("journal_events", &[], 0.0);
    let records = bridge.records();
    let ids: std::collections::BTreeSet<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
    assert!(events.iter().all(|event| ids.contains(event.event_id.as_str())));
}
