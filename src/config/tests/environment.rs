use std::time::Duration;

use super::{MINIMAL, World, with};
use crate::config::LogFormat;

#[test]
fn a_variable_counts_more_than_the_file() {
    let world = World::new()
        .variable("IDAAS_BRIDGE_SERVER__RESPONSE_DEADLINE", "3s")
        .variable("IDAAS_BRIDGE_SERVER__MAX_IN_FLIGHT_EVENTS", "7")
        .variable("IDAAS_BRIDGE_KAFKA__BOOTSTRAP_SERVERS", "a:1, b:2")
        .variable("IDAAS_BRIDGE_TOPICS__CREATE", "true")
        .variable("IDAAS_BRIDGE_LOG__FORMAT", "text")
        .variable("PATH", "/bin");
    let config = world.good(&with("server", "response_deadline = '5s'"));
    assert_eq!(config.server.response_deadline, Duration::from_secs(3));
    assert_eq!(config.server.max_in_flight_events, 7);
    assert_eq!(config.kafka.bootstrap_servers, ["a:1", "b:2"]);
    assert!(config.topics.create);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn a_property_by_variable_replaces_both_spellings_in_the_file() {
    for line in ["\"sasl.password\" = 'x'", "sasl.password = 'x'", "sasl = { password = { file = 'absent' } }"] {
        let world = World::new().variable("IDAAS_BRIDGE_KAFKA__PROPERTIES__SASL_PASSWORD", "hush");
        let config = world.good(&format!("[kafka.properties]\n{line}\n{MINIMAL}"));
        assert_eq!(config.kafka.properties.get("sasl.password").unwrap().expose(), "hush");
    }
}

#[test]
fn tables_can_come_from_variables_alone() {
    let world = World::new()
        .variable("IDAAS_BRIDGE_SERVER__TLS__CERTIFICATE", "tls.crt")
        .variable("IDAAS_BRIDGE_SERVER__TLS__KEY", "tls.key");
    assert!(world.good(MINIMAL).server.tls.is_some());
}

#[test]
fn a_fault_of_a_variables_value_names_the_variable() {
    let world =
        World::new().variable("IDAAS_BRIDGE_SERVER__LISTEN", "8080").variable("IDAAS_BRIDGE_SERVER__MAX_BODY", "");
    let faults = world.bad(MINIMAL);
    assert!(faults.contains("IDAAS_BRIDGE_SERVER__LISTEN: \"8080\" is not an address"), "{faults}");
    assert!(faults.contains("IDAAS_BRIDGE_SERVER__MAX_BODY: is empty"), "{faults}");
}

#[test]
fn an_unknown_variable_suggests_the_right_one() {
    for (variable, hint) in [
        ("IDAAS_BRIDGE_SERVER__LISTN", "did you mean IDAAS_BRIDGE_SERVER__LISTEN?"),
        ("IDAAS_BRIDGE_SERVER__TLS__CERTIFICAT", "did you mean IDAAS_BRIDGE_SERVER__TLS__CERTIFICATE?"),
        ("IDAAS_BRIDGE_KAFKA_BOOTSTRAP_SERVERS", "IDAAS_BRIDGE_KAFKA__BOOTSTRAP_SERVERS"),
        ("IDAAS_BRIDGE_SERVR__LISTEN", "did you mean IDAAS_BRIDGE_SERVER__"),
        ("IDAAS_BRIDGE_APPLICATION__NAME", "applications are set in the file"),
        ("IDAAS_BRIDGE_SERVER", "IDAAS_BRIDGE_<SECTION>__<KEY>"),
        ("IDAAS_BRIDGE_SERVER__LISTEN__ADDRESS", "IDAAS_BRIDGE_"),
        ("IDAAS_BRIDGE_SERVER__TLS", "one by one"),
    ] {
        let faults = World::new().variable(variable, "x").bad(MINIMAL);
        assert!(faults.contains(&format!("{variable}: ")) && faults.contains(hint), "{faults}");
    }
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_no_faults() {
    let links = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP",
        "PORT_8080_TCP_ADDR",
        "ADMIN_SERVICE_HOST",
        "ADMIN_SERVICE_PORT_METRICS",
        "ADMIN_PORT",
        "ADMIN_PORT_9090_TCP_PROTO",
    ];
    let world = links.iter().fold(World::new(), |world, link| world.variable(&format!("IDAAS_BRIDGE_{link}"), "x"));
    world.good(MINIMAL);
}

#[test]
fn a_secrets_source_may_have_the_prefix() {
    let text = MINIMAL.replace("{ file = \"journal.key\" }", "{ env = \"IDAAS_BRIDGE_JOURNAL_KEY\" }");
    World::new().variable("IDAAS_BRIDGE_JOURNAL_KEY", super::KEY).good(&text);
}
