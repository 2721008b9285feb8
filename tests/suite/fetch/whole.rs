//! A directory of 50,000 users from its first copy to the repair of lost deletions, with all that can go wrong: tokens
//! that end, throttling, failures, a directory that changes, Kafka that goes away, and a run that is killed.
//!
//! `BRIDGE_FETCH=long`: Kafka hangs for longer than any timeout, with records in its hands.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use idaas_directory_simulator::{Directory, Failure, Options, Simulator};
use serde_json::{Value, json};

use super::environment::{ENTITIES, Environment, wait_until};
use crate::support::command::Running;
use crate::support::real_kafka::{Nodes, Options as KafkaOptions, RealKafka};

const USERS: usize = 50_000;
/// As fast as it can be read. The test that waits for a rate is another one.
const RATE: u32 = 1000;
/// `fetch` tells every three seconds that it waits for Kafka.
const NOTES_OF_AN_OUTAGE: usize = 10;
const NOTES_OF_A_LONG_OUTAGE: usize = 45;

/// The units in the order in which they are read.
fn in_order(directory: &Directory) -> Vec<String> {
    let is_root = |id: &String| directory.unit(id).is_some_and(|unit| unit.parent.is_none());
    let mut units: Vec<_> = directory.unit_ids().into_iter().filter(is_root).collect();
    let mut next = 0;
    while let Some(unit) = units.get(next).cloned() {
        units.extend_from_slice(directory.children_of(&unit));
        next += 1;
    }
    units
}

/// Users of a unit who are in no other one.
fn only_in(directory: &Directory, unit: &str, count: usize) -> Vec<String> {
    let only = |id: &&String| directory.user(id).is_some_and(|user| user.units.len() == 1);
    let found: Vec<_> = directory.users_in(unit).iter().filter(only).take(count).cloned().collect();
    assert_eq!(found.len(), count, "{unit} has too few users");
    found
}

/// What changes while the directory is read, and what follows from it.
struct Changes {
    /// Created in a unit before it was read.
    created: Vec<String>,
    /// Deleted before they were read.
    never_read: Vec<String>,
    /// Deleted after they were read.
    read_before: Vec<String>,
}

/// Plans changes for the run that comes. `round` sees to it that two runs change different units.
fn plan(simulator: &Simulator, round: usize) -> Changes {
    let units = simulator.with_directory(|all| in_order(all));
    let (large, unread) = (units[1].clone(), units[900 + 2 * round].clone());
    let (never_read, read_before, template) = simulator.with_directory(|all| {
        let [template] = &only_in(all, &unread, 1)[..] else { panic!("no user") };
        let first = only_in(all, &large, 1);
        (
            only_in(all, &units[901 + 2 * round], 5),
            [first, only_in(all, &units[0], 1)].concat(),
            all.user(template).unwrap().clone(),
        )
    });
    let new = (0..5_u64).map(|number| {
        let id = format!("user_created{round}{number}");
        idaas_directory_simulator::User { username: format!("{id}.name"), id, number, ..template.clone() }
    });
    let new: Vec<_> = new.collect();
    let created = new.iter().map(|user| user.id.clone()).collect();
    // From a part of the tree that was not read to one that was: only the second look at the tree finds it.
    let moved = units[1000 - round].clone();
    simulator.change_at("ListOrganizationalUnits", simulator.calls("ListOrganizationalUnits") + 20, move |all| {
        assert!(all.move_unit(&moved, &large, 1));
    });
    let gone = [never_read.clone(), read_before.clone()].concat();
    // In the middle of the large unit, whose number of users changes by that.
    simulator.change_at("ListUsers", simulator.calls("ListUsers") + 100, move |all| {
        new.into_iter().for_each(|user| all.add_user(user));
        assert!(gone.iter().all(|id| all.delete_user(id)));
    });
    Changes { created, never_read, read_before }
}

/// Takes Kafka away, and requires that nothing is read before it is back.
fn outage(kafka: &RealKafka, environment: &Environment, running: &mut Running) {
    let long = std::env::var_os("BRIDGE_FETCH").is_some_and(|scale| scale == "long");
    let notes = if long { NOTES_OF_A_LONG_OUTAGE } else { NOTES_OF_AN_OUTAGE };
    if long {
        kafka.pause(1)
    } else {
        kafka.kill_all()
    }
    running.wait_for_note("waiting for Kafka to confirm records");
    let requests = environment.simulator().requests();
    (1..notes).for_each(|_| running.wait_for_note("waiting for Kafka to confirm records"));
    assert_eq!(environment.simulator().requests(), requests, "nothing is read meanwhile");
    assert!(running.is_running());
    assert!(!environment.directory.path().join("journal").exists(), "the journal is not used");
    if long { kafka.resume(1) } else { kafka.restart_all() }
}

/// Reads the directory despite everything: interrupted by an outage, then by a kill, then to the end. Returns the users
/// who were deleted after they had been read.
fn first_copy(kafka: &RealKafka, environment: &Environment) -> Vec<String> {
    let simulator = environment.simulator();
    simulator.set_token_lifetime(3000);
    let of = |status, code: &str, path: &str| Failure { path: path.to_owned(), ..Failure::of(status, code) };
    let throttled = Failure { retry_after: Some(1), ..of(429, "Throttling.User", "/users") };
    // They are used up in this order, each by the first request that fits.
    for failure in [
        of(503, "", "/oauth2/token"),
        of(400, "invalid_token", "/organizationalUnits"),
        of(429, "", "/organizationalUnits"),
        of(401, "", "/users"),
        throttled.clone(),
        of(500, "Internal Server Error", "/users"),
        throttled,
        of(502, "", "/listUsersForGroup"),
    ] {
        simulator.fail_next(1, failure);
    }
    let before = simulator.with_directory(|all| all.user_ids());
    let first = plan(simulator, 0);
    let arguments = ["--run", "first", "--json"];
    let mut running = environment.start(&arguments);
    wait_until("users are listed", || simulator.calls("ListUsers") > 250);
    outage(kafka, environment, &mut running);
    let listed = simulator.calls("ListUsers");
    wait_until("more users are listed", || simulator.calls("ListUsers") > listed + 100);
    simulator.expire_tokens();
    wait_until("the run goes on without its token", || simulator.calls("ListUsers") > listed + 200);
    running.kill();
    let already = environment.published("user", "snapshot").len();
    let second = plan(simulator, 1);
    let summary = environment.summary(&arguments[..2]);
    let gone: BTreeSet<_> = [first.never_read, second.never_read].concat().into_iter().collect();
    let users = before.into_iter().filter(|id| !gone.contains(id)).chain(first.created).chain(second.created);
    let mut users: Vec<_> = users.collect();
    users.sort_unstable();
    let (units, groups) = simulator.with_directory(|all| (all.unit_ids(), all.group_ids()));
    let published = ENTITIES.map(|entity| environment.published(entity, "snapshot"));
    for ((entity, published), ids) in ENTITIES.into_iter().zip(&published).zip([&users, &units, &groups]) {
        assert!(published == ids, "{entity}: {} records of {} entities", published.len(), ids.len());
    }
    // The first run has published the users who are deleted since then, but the second one does not see them.
    let (read, counts) = (users.len() - first.read_before.len(), &summary["entities"]["users"]);
    let expected = [read, users.len() - already, already - first.read_before.len()];
    assert_eq!(["read", "published", "resumed"].map(|name| counts[name].clone()), expected.map(|count| json!(count)));
    assert_eq!((&summary["complete"], &counts["errors"]), (&json!(true), &json!(0)), "{summary}");
    [first.read_before, second.read_before].concat()
}

/// The ids of the entities in the directory and in the state topics are the same.
fn is_materialized(environment: &Environment) -> bool {
    let ids = environment.simulator().with_directory(|all| [all.user_ids(), all.unit_ids(), all.group_ids()]);
    ENTITIES.into_iter().zip(ids).all(|(entity, ids)| environment.states(entity) == ids)
}

/// Loses more deletions: of ten users, and of a unit whose users have moved. Returns the ids of the deleted users.
fn lose_deletions(directory: &mut Directory) -> (Vec<String>, String, String) {
    let units = in_order(directory);
    let (from, unit) = (&units[500], units[998].clone());
    let users = only_in(directory, from, 10);
    assert!(users.iter().all(|id| directory.delete_user(id)));
    for user in directory.users_in(&unit).to_vec() {
        assert!(directory.move_user(&user, &units[0], 1));
    }
    assert!(directory.delete_unit(&unit));
    let group = directory.group_ids()[7].clone();
    assert!(directory.delete_group(&group));
    (users, unit, group)
}

#[test]
fn large_directory_is_right_in_the_end_whatever_breaks() {
    let Some(kafka) = RealKafka::start(Nodes::One, KafkaOptions::default()) else { return };
    let environment = Environment::new(&kafka, "fetch-whole", Options::new(USERS), RATE);
    let began = Instant::now();
    let mut lost = first_copy(&kafka, &environment);
    let first = began.elapsed();
    let known = environment.published("user", "snapshot").len();
    let materialize = environment.materialize();
    wait_until("the events are merged", || environment.states("user").len() == known);
    let (users, unit, group) = environment.simulator().with_directory(lose_deletions);
    lost.extend(users);
    lost.sort_unstable();
    let summary = environment.summary(&["--run", "repair", "--verify-deletions"]);
    let expected = [("user", lost), ("organizational-unit", vec![unit]), ("group", vec![group])];
    for (name, (entity, ids)) in ["users", "organizationalUnits", "groups"].into_iter().zip(&expected) {
        let counts = &summary["entities"][name];
        assert_eq!((&counts["missing"], &counts["deleted"]), (&json!(ids.len()), &json!(ids.len())), "{name}");
        assert_eq!(environment.published(entity, "deleted"), *ids);
    }
    wait_until("the state topics are as the directory", || is_materialized(&environment));
    // A tenth of the groups, all at once, is more likely a mistake.
    environment.simulator().with_directory(|all| {
        for group in &all.group_ids()[..30] {
            assert!(all.delete_group(group));
        }
    });
    let shown = environment.fetch(&["--run", "repair", "--verify-deletions", "--json"]);
    let refused: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((shown.code, &refused["entities"]["users"]["published"]), (1, &json!(0)), "{}", shown.err);
    assert!(shown.err.contains("group: at least 25 of 249"), "{}", shown.err);
    for (entity, ids) in expected {
        assert_eq!(environment.published(entity, "deleted"), ids);
    }
    drop(materialize);
    let _ = writeln!(std::io::stderr(), "{summary} {refused}; first copy {first:?}, all {:?}", began.elapsed());
}
