use super::{MINIMAL, World, shown, with};

#[test]
fn properties_pass_through_quoted_and_unquoted() {
    let text = format!(
        "[kafka.properties]\n\"security.protocol\" = 'sasl_ssl'\nsasl.mechanism = 'PLAIN'\nlinger.ms = 5\n\
         sasl.password = {{ file = 'current.key' }}\n\"socket.keepalive.enable\" = true\n{MINIMAL}"
    );
    let config = World::new().good(&text);
    let value = |name: &str| config.kafka.properties.get(name).map(|value| value.expose().clone());
    assert_eq!(value("security.protocol").as_deref(), Some("sasl_ssl"));
    assert_eq!(value("sasl.mechanism").as_deref(), Some("PLAIN"));
    assert_eq!(value("linger.ms").as_deref(), Some("5"));
    assert_eq!(value("socket.keepalive.enable").as_deref(), Some("true"));
    assert_eq!(value("sasl.password").as_deref(), Some(super::OTHER_KEY));
}

#[test]
fn properties_that_break_a_guarantee_are_rejected() {
    let refused = [
        "bootstrap.servers",
        "metadata.broker.list",
        "acks",
        "request.required.acks",
        "enable.idempotence",
        "partitioner",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "retries",
        "message.send.max.retries",
        "message.timeout.ms",
        "delivery.timeout.ms",
        "transactional.id",
        "transaction.timeout.ms",
        "allow.auto.create.topics",
        "delivery.report.only.error",
        "enable.gapless.guarantee",
        "queuing.strategy",
        "statistics.interval.ms",
        "plugin.library.paths",
        "test.mock.num.brokers",
        "test.mock.broker.rtt",
        "dr_msg_cb",
    ];
    let lines: String = refused.iter().map(|name| format!("\"{name}\" = 'x'\n")).collect();
    let faults = World::new().parse(&format!("[kafka.properties]\n{lines}{MINIMAL}")).err().unwrap();
    assert_eq!(faults.len(), refused.len(), "{}", shown(&faults));
    for name in refused {
        let named = |fault: &&crate::diagnosis::Diagnosis| fault.key.contains(name);
        let fault = faults.iter().find(named).unwrap_or_else(|| panic!("{name} is not refused"));
        assert!(fault.problem.len() > 15 && fault.remedy.is_some(), "{fault}");
    }
}

#[test]
fn a_refused_property_cannot_slip_in_unquoted_or_by_a_variable() {
    let faults = World::new().bad(&format!("[kafka.properties]\nenable.idempotence = false\n{MINIMAL}"));
    assert!(faults.contains("is fixed to true"), "{faults}");
    let faults = World::new().variable("IDAAS_BRIDGE_KAFKA__PROPERTIES__ACKS", "1").bad(MINIMAL);
    assert!(faults.contains("IDAAS_BRIDGE_KAFKA__PROPERTIES__ACKS: is fixed to all"), "{faults}");
}

#[test]
fn relative_paths_of_certificates_start_at_the_files_directory() {
    let text = format!("[kafka.properties]\nssl.ca.location = 'ca.pem'\nssl.crl.location = '/crl.pem'\n{MINIMAL}");
    let config = World::new().good(&text);
    assert_eq!(config.kafka.properties.get("ssl.ca.location").unwrap().expose(), "/etc/bridge/ca.pem");
    assert_eq!(config.kafka.properties.get("ssl.crl.location").unwrap().expose(), "/crl.pem");
    let config = World::new().good(&format!("[kafka.properties]\nssl.ca.location = 'probe'\n{MINIMAL}"));
    assert_eq!(config.kafka.properties.get("ssl.ca.location").unwrap().expose(), "probe");
}

#[test]
fn brokers_are_hosts_with_ports() {
    let servers = "['kafka', 'kafka:', ':9092', 'ssl://kafka:9092', 'kafka:0', '::1:9092', 'a:9092,b:9092']";
    let faults = World::new().bad(&MINIMAL.replace("[\"kafka-1:9092\"]", servers));
    for index in 0..7 {
        assert!(faults.contains(&format!("kafka.bootstrap_servers[{index}]: ")), "{index}: {faults}");
    }
    assert!(faults.contains("set \"security.protocol\""), "{faults}");
    World::new().good(&MINIMAL.replace("kafka-1:9092", "[::1]:9092"));
    let faults = World::new().bad(&MINIMAL.replace("[\"kafka-1:9092\"]", "[]"));
    assert!(faults.contains("kafka.bootstrap_servers: is empty"), "{faults}");
}

#[test]
fn a_linger_beyond_the_deadline_is_a_fault() {
    let faults = World::new().bad(&format!("[kafka.properties]\nlinger.ms = 8500\n{MINIMAL}"));
    assert!(faults.contains("kafka.properties.\"linger.ms\"") && faults.contains("few milliseconds"), "{faults}");
}

#[test]
fn unencrypted_kafka_is_a_warning_unless_set_explicitly() {
    let warned =
        |text: &str| World::new().good(text).warnings.iter().any(|warning| warning.to_string().contains("clear text"));
    assert!(warned(MINIMAL));
    assert!(!warned(&MINIMAL.replace("kafka-1:9092", "localhost:9092")));
    assert!(!warned(&format!("[kafka.properties]\nsecurity.protocol = 'plaintext'\n{MINIMAL}")));
}

#[test]
fn switched_off_certificate_checks_are_warned_of() {
    let text = "enable.ssl.certificate.verification = false\nssl.endpoint.identification.algorithm = 'none'";
    let config = World::new().good(&format!("[kafka.properties]\n{text}\n{MINIMAL}"));
    assert_eq!(
        config.warnings.iter().filter(|warning| warning.to_string().contains("impersonate the broker")).count(),
        2
    );
}

#[test]
fn a_section_kafka_that_is_no_table_is_a_fault() {
    let faults =
        World::new().bad(&with("log", "level = 'info'").replace("[kafka]\nbootstrap_servers =", "[unused]\nx ="));
    assert!(
        faults.contains("unused: is not a known section") && faults.contains("kafka.bootstrap_servers: is missing"),
        "{faults}"
    );
}
