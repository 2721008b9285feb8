//! Another cluster in the place of the known one, and a run that is killed or interrupted.

use std::collections::BTreeSet;

use idaas_directory_simulator::Options;
use serde_json::json;

use super::FAST;
use super::environment::{ENTITIES, Environment, wait_until};
use crate::support::real_kafka::{Nodes, Options as KafkaOptions, RealKafka, shared_one_node};

#[test]
fn killed_run_goes_on_without_publishing_twice() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-killed", Options::new(600), 40);
    let mut running = environment.start(&["--run", "nightly", "--details"]);
    wait_until("users are asked for", || environment.simulator().calls("GetUser") > 60);
    running.kill();
    let before = environment.keys("user", "snapshot").len();
    assert!((50..600).contains(&before), "{before}");
    let asked = environment.simulator().calls("GetUser");
    let text = std::fs::read_to_string(&environment.config).unwrap();
    std::fs::write(&environment.config, text.replace("requests_per_second = 40", "requests_per_second = 1000"))
        .unwrap();
    let summary = environment.summary(&["--run", "nightly", "--details"]);
    let users = environment.simulator().with_directory(|all| all.user_ids());
    assert_eq!(environment.keys("user", "snapshot"), users, "each user once");
    assert_eq!(summary["entities"]["users"]["resumed"], json!(before));
    assert_eq!(summary["entities"]["users"]["published"], json!(600 - before));
    let asked_again = environment.simulator().calls("GetUser") - asked;
    assert_eq!(asked_again, (600 - before) as u64, "published users are not asked for again");
    let again = environment.summary(&["--run", "nightly"]);
    assert_eq!(again["entities"]["users"]["published"], json!(0));
    let other = environment.summary(&["--run", "weekly"]);
    assert_eq!(other["entities"]["users"]["published"], json!(600));
    let ids: BTreeSet<_> =
        environment.records("user").iter().map(|record| record.header("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1200);
}

#[test]
fn replaced_cluster_ends_the_run_and_gets_all_of_it_later() {
    let Some(kafka) = RealKafka::start(Nodes::One, KafkaOptions::default()) else { return };
    let environment = Environment::new(&kafka, "fetch-moved", Options::new(600), 20);
    let running = environment.start(&["--run", "moved"]);
    wait_until("users are listed", || environment.simulator().calls("ListUsers") > 2);
    kafka.replace_with_an_empty_one();
    Environment::create_topics(&kafka, "fetch-moved");
    // What was published before is not on the new cluster, so the run has not succeeded.
    let shown = running.end();
    assert_eq!(shown.code, 1, "{}{}", shown.out, shown.err);
    assert!(shown.err.contains("another Kafka cluster answers"), "{}", shown.err);
    environment.summary(&["--run", "moved"]);
    let ids = environment.simulator().with_directory(|all| [all.user_ids(), all.unit_ids(), all.group_ids()]);
    for (entity, ids) in ENTITIES.into_iter().zip(ids) {
        let mut keys = environment.keys(entity, "snapshot");
        keys.dedup();
        assert_eq!(keys, ids, "{entity}");
    }
}

#[test]
fn interrupted_run_says_how_to_go_on() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-interrupted", Options::new(500), 20);
    let running = environment.start(&["--run", "my run"]);
    wait_until("users are listed", || environment.simulator().calls("ListUsers") > 2);
    running.interrupt();
    let shown = running.end();
    assert_eq!(shown.code, 1);
    assert!(
        shown.err.contains("continue with --run 'my run'") && shown.out.contains("users"),
        "{}{}",
        shown.out,
        shown.err
    );
    let text = std::fs::read_to_string(&environment.config).unwrap();
    std::fs::write(
        &environment.config,
        text.replace("requests_per_second = 20", &format!("requests_per_second = {FAST}")),
    )
    .unwrap();
    environment.summary(&["--run", "my run"]);
    let users = environment.simulator().with_directory(|all| all.user_ids());
    assert_eq!(environment.keys("user", "snapshot"), users);
}
