//! Deletions that were lost: found by the state topics, proved by the API.

use std::time::{SystemTime, UNIX_EPOCH};

use idaas_directory_simulator::{Failure, Options};
use serde_json::{Value, json};

use super::FAST;
use super::environment::{ENTITIES, Environment};
use crate::support::real_kafka::{RealKafka, shared_one_node};

/// States of all entities of the directory, and of so many users who are not in it.
fn states(environment: &Environment, gone: usize) -> Vec<(&'static str, String, Value)> {
    let [users, units, groups] =
        environment.simulator().with_directory(|all| [all.user_ids(), all.unit_ids(), all.group_ids()]);
    let of = |entity, ids: Vec<String>| ids.into_iter().map(move |id| (entity, id, json!({"name": "x"})));
    let mut states: Vec<_> = of("organizational-unit", units).chain(of("group", groups)).collect();
    states.extend(users.into_iter().map(|id| ("user", id, json!({"username": "x"}))));
    states.extend((0..gone).map(|number| ("user", format!("user_gone{number}"), json!({"username": "x"}))));
    states
}

fn environment(kafka: &RealKafka, prefix: &str, users: usize) -> Environment {
    Environment::new(kafka, prefix, Options::new(users), FAST)
}

#[test]
fn lost_deletions_are_found_and_published() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-lost", 100);
    let mut states = states(&environment, 2);
    states.push(("group", "group_gone".to_owned(), json!({"name": "x"})));
    states.push(("organizational-unit", "ou_gone".to_owned(), json!({"name": "x"})));
    // Deleted already, and of another application.
    states.push(("user", "user_gone1".to_owned(), Value::Null));
    states.push(("user", "user_other".to_owned(), json!({"username": "x", "applicationId": "app_other"})));
    environment.write_states(kafka, &states);
    let summary = environment.summary(&["--verify-deletions"]);
    assert_eq!(environment.keys("user", "deleted"), ["user_gone0"]);
    assert_eq!(environment.keys("group", "deleted"), ["group_gone"]);
    assert_eq!(environment.keys("organizational-unit", "deleted"), ["ou_gone"]);
    for name in ["users", "groups", "organizationalUnits"] {
        let counts = &summary["entities"][name];
        assert_eq!((&counts["missing"], &counts["deleted"]), (&json!(1), &json!(1)), "{name}");
    }
    let records = environment.records("user");
    let deleted = records.iter().find(|record| record.key.as_deref() == Some(b"user_gone0")).unwrap();
    let value: Value = serde_json::from_slice(&deleted.value).unwrap();
    assert_eq!(value["origin"]["eventType"], "urn:idaas-bridge:fetch:user:deleted");
    assert_eq!(value["user"], json!({"id": "user_gone0"}));
    // Asked twice.
    assert_eq!(environment.simulator().calls("GetUser"), 2);
}

/// The `ce_time`s of everything that a run publishes, a deletion among it, are those of IDaaS's clock.
fn times_are_those_of_idaas(prefix: &str, hours_ahead: i64) {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, prefix, 10);
    let difference = hours_ahead * 3_600_000;
    environment.simulator().set_clock_ahead(difference);
    environment.write_states(kafka, &states(&environment, 1));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 + difference;
    // Requests take a part of it, and `Date` has whole seconds. The clocks differ by much more.
    let (tolerance, begin) = (60_000, now());
    environment.summary(&["--verify-deletions"]);
    let end = now();
    assert_eq!(environment.keys("user", "deleted"), ["user_gone0"]);
    for record in ENTITIES.iter().flat_map(|entity| environment.records(entity)) {
        let time = idaas_state::Time::parse(record.header("ce_time").unwrap()).unwrap().as_millis();
        assert!((begin - tolerance..=end).contains(&time), "{:?} is not from {begin} to {end}", record.headers);
    }
}

#[test]
fn times_follow_idaas_if_its_clock_is_ahead() {
    times_are_those_of_idaas("fetch-ahead", 1);
}

#[test]
fn times_follow_idaas_if_its_clock_is_behind() {
    times_are_those_of_idaas("fetch-behind", -1);
}

#[test]
fn user_outside_the_scope_is_not_deleted() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-outside", 100);
    let user = environment.simulator().with_directory(|all| {
        let id = all.user_ids()[0].clone();
        let mut user = all.user(&id).unwrap().clone();
        all.delete_user(&id);
        user.units.clear();
        all.add_user(user);
        id
    });
    // IDaaS does not say that it does not exist.
    environment.write_states(kafka, &states(&environment, 0));
    let shown = environment.fetch(&["--verify-deletions", "--json"]);
    let summary: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert_eq!(summary["entities"]["users"]["missing"], 1);
    assert_eq!(summary["entities"]["users"]["unclear"], 1);
    assert_eq!(environment.keys("user", "deleted"), [""; 0]);
    assert!(!environment.keys("user", "snapshot").contains(&user));
}

#[test]
fn entity_that_was_not_listed_and_exists_is_published() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-found", 100);
    // Else the users would be found by their groups.
    environment.simulator().with_directory(|all| {
        for group in all.group_ids() {
            all.delete_group(&group);
        }
    });
    environment.write_states(kafka, &states(&environment, 0));
    // The users of the first unit are not listed.
    let failure = Failure { path: "/users".to_owned(), ..Failure::of(400, "OrganizationUnitIdNotInScopes") };
    environment.simulator().fail_next(1, failure);
    let summary = environment.summary(&["--verify-deletions"]);
    let missing = summary["entities"]["users"]["missing"].as_u64().unwrap();
    assert!(missing > 0, "{summary}");
    assert_eq!(environment.simulator().calls("GetUser"), missing);
    assert_eq!(environment.keys("user", "snapshot"), environment.simulator().with_directory(|all| all.user_ids()));
    assert_eq!(environment.keys("user", "deleted"), [""; 0]);
}

#[test]
fn second_answer_decides() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-second", 100);
    environment.write_states(kafka, &states(&environment, 1));
    // The first answer is "not found". The second one never comes: the gateway rejects the request.
    let path = "/users/user_gone0".to_owned();
    environment.simulator().fail_next(1, Failure { path: path.clone(), ..Failure::of(404, "ResourceNotFound.User") });
    environment.simulator().fail_next(1, Failure { path, ..Failure::of(403, "Forbidden.ByFirewall") });
    let summary = environment.summary(&["--verify-deletions"]);
    assert_eq!(summary["entities"]["users"]["unclear"], 1);
    assert_eq!(summary["entities"]["users"]["deleted"], 0);
    assert_eq!(environment.keys("user", "deleted"), [""; 0]);
}

#[test]
fn mass_deletion_is_refused_unless_it_is_allowed() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-mass", 100);
    environment.write_states(kafka, &states(&environment, 30));
    let shown = environment.fetch(&["--verify-deletions"]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    assert!(shown.err.contains("user: at least 21 of 130"), "{}", shown.err);
    assert!(shown.err.contains("--allow-mass-deletion"), "{}", shown.err);
    assert_eq!(environment.keys("user", "deleted"), [""; 0]);
    let summary = environment.summary(&["--verify-deletions", "--allow-mass-deletion"]);
    assert_eq!(summary["entities"]["users"]["deleted"], 30);
    assert_eq!(environment.keys("user", "deleted").len(), 30);
}

#[test]
fn unchanged_entities_are_counted_by_the_state_topics() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-unchanged", 50);
    environment.summary(&["--run", "one"]);
    let states: Vec<_> = environment
        .records("user")
        .iter()
        .map(|record| {
            let value: Value = serde_json::from_slice(&record.value).unwrap();
            ("user", value["user"]["id"].as_str().unwrap().to_owned(), value["user"].clone())
        })
        .collect();
    environment.write_states(kafka, &states);
    let changed = environment.simulator().with_directory(|all| {
        let id = all.user_ids()[7].clone();
        all.rename_user(&id, "New Name", 7);
        id
    });
    let summary = environment.summary(&["--run", "two"]);
    assert_eq!(summary["entities"]["users"]["unchanged"], 49, "{changed}");
    assert_eq!(summary["entities"]["users"]["published"], 50);
}

#[test]
fn without_state_topics_deletions_cannot_be_verified() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = environment(kafka, "fetch-stateless", 10);
    let shown = environment.fetch(&["--verify-deletions"]);
    assert_eq!((shown.code, environment.simulator().requests()), (1, 0), "{}", shown.err);
    assert!(shown.err.contains("materialize"), "{}", shown.err);
}
