//! A larger directory over a worse line: throttling, short-lived tokens, failures, and a run that is killed half-way.
//! `BRIDGE_FETCH_USERS` sets the number of users.

use std::io::Write;
use std::time::{Duration, Instant};

use idaas_directory_simulator::{Failure, Options};
use serde_json::json;

use super::world::{ENTITIES, World};
use crate::support::real_kafka::shared_one_node;

const DEFAULT_USERS: usize = 3000;
const GIVE_UP: Duration = Duration::from_secs(600);

#[test]
fn large_directory_is_published_once_over_faults_and_a_kill() {
    let Some(kafka) = shared_one_node() else { return };
    let users = std::env::var("BRIDGE_FETCH_USERS").map_or(DEFAULT_USERS, |users| users.parse().unwrap());
    let options = Options { requests_per_second: Some(400), ..Options::new(users) };
    let world = World::new(kafka, "fetch-large", options, 300);
    let simulator = world.simulator();
    simulator.set_token_lifetime(3000);
    let failures = ["/users", "/organizationalUnits", "/listUsersForGroup"];
    for (number, path) in failures.into_iter().cycle().take(12).enumerate() {
        let status = [500, 503, 429, 401][number % 4];
        simulator.fail_next(1, Failure { path: path.to_owned(), ..Failure::of(status, "") });
    }
    let arguments = ["--run", "large", "--json"];
    let mut running = world.start(&arguments);
    let (begin, pages) = (Instant::now(), users as u64 / 250);
    while simulator.calls("ListUsers") < pages {
        assert!(begin.elapsed() < GIVE_UP && running.is_running(), "the run does not come to the users");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill();
    let before = world.keys("user", "snapshot").len();
    assert!(before > 0 && before < users, "{before}");
    let summary = world.summary(&arguments[..2]);
    let took = begin.elapsed();
    let _ =
        writeln!(std::io::stderr(), "{users} users: {before} before the kill, then {summary} in {took:?} altogether");
    assert_eq!(summary["entities"]["users"]["resumed"], json!(before));
    let [all_users, units, groups] = simulator.with_directory(|all| [all.user_ids(), all.unit_ids(), all.group_ids()]);
    for (entity, ids) in ENTITIES.into_iter().zip([all_users, units, groups]) {
        assert_eq!(world.keys(entity, "snapshot"), ids, "{entity}");
    }
}
