//! The command `fetch` against a simulated Developer API and a real Kafka.

mod deletions;
mod environment;
mod interruptions;
mod whole;

use std::collections::BTreeSet;

use idaas_directory_simulator::{Failure, Options, Permission};
use serde_json::{Value, json};

use self::environment::{ENTITIES, Environment};
use crate::support::real_kafka::shared_one_node;

/// Fast enough that nothing waits for the rate.
const FAST: u32 = 1000;

#[test]
fn fetch_publishes_every_entity_once() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-all", Options::new(450), FAST);
    let summary = environment.summary(&["--run", "first"]);
    let (units, users, groups) =
        environment.simulator().with_directory(|all| (all.unit_ids(), all.user_ids(), all.group_ids()));
    for (entity, name, ids) in
        [("user", "users", users), ("organizational-unit", "organizationalUnits", units), ("group", "groups", groups)]
    {
        assert_eq!(environment.keys(entity, "snapshot"), ids);
        let counts = &summary["entities"][name];
        assert_eq!((&counts["read"], &counts["published"]), (&json!(ids.len()), &json!(ids.len())), "{name}");
    }
    assert_eq!((&summary["run"], &summary["complete"]), (&json!("first"), &json!(true)));
    let record = environment.records("user").remove(0);
    let value: Value = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(value["origin"]["eventType"], "urn:idaas-bridge:fetch:user");
    assert!(record.header("ce_id").unwrap().starts_with("fetch-"), "{value}");
    assert_eq!(record.header("ce_time"), value["origin"]["eventTime"].as_str());
    assert!(value["user"]["email"]["address"].is_string() && value["user"]["accountExpiresAt"].is_null());
    assert!(value["user"].get("organizationalUnits").is_none() && value.get("additional").is_none(), "{value}");
    let groups: Vec<Value> =
        environment.records("group").iter().map(|record| serde_json::from_slice(&record.value).unwrap()).collect();
    let members = |group: &Value| group["group"]["members"].as_array().unwrap().len();
    assert!(groups.iter().any(|group| members(group) == 250) && groups.iter().any(|group| members(group) == 0));
}

#[test]
fn details_have_units_and_custom_fields() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-details", Options::new(60), FAST);
    environment.summary(&["--details"]);
    assert_eq!(environment.simulator().calls("GetUser"), 60);
    for record in environment.records("user") {
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        let user = &value["user"];
        assert_eq!(user["organizationalUnits"][0]["id"], user["primaryOrganizationalUnitId"]);
        assert_eq!(user["customFields"][0]["name"], "cost_center");
        assert!(value.get("additional").is_none(), "{value}");
    }
}

#[test]
fn metrics_file_tells_whether_a_run_succeeded() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-metrics", Options::new(30), FAST);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fetch.prom");
    environment.summary(&["--metrics-file", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        "fetch_last_run_successful{application=\"workforce\"} 1",
        "fetch_last_run_entities{application=\"workforce\",entity=\"user\",result=\"published\"} 30",
    ] {
        assert!(text.lines().any(|found| found.strip_prefix("idaas_bridge_") == Some(line)), "{text}");
    }
    environment.simulator().fail_next(1, Failure::of(403, "Forbidden"));
    assert_eq!(environment.fetch(&["--metrics-file", file.to_str().unwrap()]).code, 1);
    assert!(std::fs::read_to_string(&file).unwrap().contains("_successful{application=\"workforce\"} 0"));
    // Without a name of its own it would stay behind.
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn dry_run_reads_everything_and_publishes_nothing() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-dry", Options::new(30), FAST);
    let shown = environment.fetch(&["--dry-run", "--application", "workforce"]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.out.contains("to publish") && shown.out.contains("dry run: nothing was published"), "{}", shown.out);
    for entity in ENTITIES {
        assert_eq!(environment.records(entity), []);
    }
}

#[test]
fn token_is_renewed_before_it_expires() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-token", Options::new(400), 20);
    environment.simulator().set_token_lifetime(2000);
    let summary = environment.summary(&[]);
    let (tokens, requests) = (environment.simulator().calls("GenerateToken"), environment.simulator().requests());
    assert!(tokens >= 2, "{tokens} tokens");
    // A token that had expired would have cost a request more.
    assert_eq!(summary["requests"].as_u64(), Some(requests));
    assert_eq!(summary["complete"], true);
}

#[test]
fn throttled_client_waits_as_long_as_it_is_told() {
    let Some(kafka) = shared_one_node() else { return };
    let options = Options { requests_per_second: Some(20), ..Options::new(300) };
    let environment = Environment::new(kafka, "fetch-throttled", options, FAST);
    let shown = environment.fetch(&["--json"]);
    assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
    assert!(shown.err.contains("IDaaS asks for fewer requests; waiting 1.0 s"), "{}", shown.err);
    let users = environment.simulator().with_directory(|all| all.user_ids());
    assert_eq!(environment.keys("user", "snapshot"), users);
}

#[test]
fn directory_that_changes_meanwhile_is_read_to_its_end() {
    let Some(kafka) = shared_one_node() else { return };
    let options = Options { drift: Some(4), ..Options::new(1000) };
    let environment = Environment::new(kafka, "fetch-drift", options, FAST);
    let before = environment.simulator().with_directory(|all| all.user_ids());
    let shown = environment.fetch(&["--json"]);
    let summary: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(summary["complete"], true, "{}{}", shown.out, shown.err);
    // Users who moved between units at the wrong moment can be missed; IDaaS tells of the move by a callback.
    let after = environment.simulator().with_directory(|all| all.user_ids());
    let moved = environment.simulator().with_directory(|all| {
        after
            .iter()
            .filter(|id| all.user(id).is_some_and(|user| user.updated > user.created))
            .cloned()
            .collect::<Vec<_>>()
    });
    let published: BTreeSet<_> = environment.keys("user", "snapshot").into_iter().collect();
    for id in before.iter().filter(|id| after.contains(id) && !moved.contains(id)) {
        assert!(published.contains(id), "{id} is missing");
    }
}

#[test]
fn missing_permission_is_named_by_fetch_and_by_check() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-denied", Options::new(30), FAST);
    let check = environment.run("check", &[]);
    let flat = check.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("the synchronization scope has 1 unit and 2 groups"), "{flat}");
    assert!(flat.contains("ListUsers is permitted") && flat.contains("ListGroups is permitted"), "{flat}");
    environment.simulator().deny(Permission::Users);
    let shown = environment.fetch(&[]);
    assert_eq!(shown.code, 1, "{}", shown.out);
    let named = "grant the application urn:alibaba:idaas:scope:user:read_all in the IDaaS console";
    assert!(shown.err.contains("ListUsers: the application lacks a permission"), "{}", shown.err);
    let flat = shown.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(named), "{flat}");
    let check = environment.run("check", &[]);
    assert_eq!(check.code, 1, "{}", check.out);
    let flat = check.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("[directory_permission]") && flat.contains(named), "{flat}");
    assert!(flat.contains("but fetch would not"), "{flat}");
}

#[test]
fn wrong_client_secret_is_a_fault_that_says_so() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::new(kafka, "fetch-secret", Options::new(3), FAST);
    std::fs::write(environment.directory.path().join("client.secret"), "s3cret-of-another").unwrap();
    let shown = environment.fetch(&[]);
    assert_eq!(shown.code, 1);
    assert!(shown.err.contains("the client secret does not match the client id"), "{}", shown.err);
    assert!(!shown.err.contains("s3cret"), "{}", shown.err);
}

#[test]
fn missing_topics_are_a_fault_before_anything_is_read() {
    let Some(kafka) = shared_one_node() else { return };
    let environment = Environment::without_topics(kafka.bootstrap_servers(), "fetch-none", Options::new(3), FAST);
    let shown = environment.fetch(&[]);
    assert_eq!((shown.code, environment.simulator().requests()), (1, 0), "{}", shown.err);
    let words = shown.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("fetch-none.user.v1") && words.contains("topics --create"), "{}", shown.err);
}

#[test]
fn application_without_fetch_is_a_fault_that_says_what_to_write() {
    let environment = Environment::without_topics("127.0.0.1:1", "fetch-off", Options::new(3), FAST);
    let text = std::fs::read_to_string(&environment.config).unwrap();
    std::fs::write(&environment.config, text.split("[application.fetch]").next().unwrap()).unwrap();
    let shown = environment.fetch(&[]);
    assert_eq!(shown.code, 2, "{}", shown.err);
    assert!(shown.err.contains("write [application.fetch] with endpoint and client_secret"), "{}", shown.err);
    assert_eq!(environment.fetch(&["--application", "partners"]).code, 2);
}
