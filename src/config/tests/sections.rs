use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{World, with};
use idaas_callback::policy::EventMode;

use crate::config::{Dedupe, LogFormat, LogLevel};

#[test]
fn a_minimal_configuration_gets_every_default() {
    let config = World::new().good(super::MINIMAL);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.server.response_deadline, Duration::from_millis(8500));
    assert_eq!(config.server.drain_timeout, Duration::from_secs(12));
    assert_eq!(config.server.clock_skew, Duration::from_secs(60));
    assert_eq!(config.server.max_body, 8 * 1024 * 1024);
    assert_eq!(config.server.max_in_flight_events, 20_000);
    assert_eq!(config.server.max_memory, 512 * 1024 * 1024);
    assert!(config.server.trusted_proxies.is_empty() && config.server.tls.is_none());
    assert_eq!(config.kafka.bootstrap_servers, ["kafka-1:9092"]);
    assert!(config.kafka.properties.is_empty());
    assert_eq!(config.topics.prefix, "idaas");
    assert!(!config.topics.create);
    assert_eq!((config.topics.partitions, config.topics.replication_factor), (12, 3));
    assert_eq!(config.topics.retention, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(config.topics.event_mode, EventMode::Binary);
    assert_eq!(config.journal.directory, PathBuf::from("/var/lib/idaas-bridge"));
    assert_eq!((config.journal.max_size, config.journal.keys.len()), (1 << 30, 1));
    assert_eq!(config.dedupe, Dedupe { replicas: 1, follow_replicas: false });
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Info));
    assert_eq!(config.applications.len(), 1);
}

#[test]
fn relative_paths_start_at_the_file_s_directory() {
    let config = World::new().good(&with("server", "tls = { certificate = 'tls.crt', key = 'tls.key' }"));
    assert_eq!(config.server.tls.unwrap().certificate, PathBuf::from("/etc/bridge/tls.crt"));
    let config = World::new().good(&with("journal", "directory = 'data'"));
    assert_eq!(config.journal.directory, PathBuf::from("/etc/bridge/data"));
    let config = World::new().good(&with("journal", "directory = '/data'"));
    assert_eq!(config.journal.directory, PathBuf::from("/data"));
}

#[test]
fn sizes_are_read_in_binary_and_decimal_units() {
    for (written, bytes) in [("'1MiB'", 1 << 20), ("'500kB'", 500_000), ("'2 MB'", 2_000_000), ("100000", 100_000)] {
        let config = World::new().good(&with("server", &format!("max_body = {written}")));
        assert_eq!(config.server.max_body, bytes, "{written}");
    }
    for written in ["'8MiBs'", "'many'", "-1", "'1.5MiB'", "'99999999999999999999'", "'20000000TiB'"] {
        let faults = World::new().bad(&with("server", &format!("max_body = {written}")));
        assert!(faults.starts_with("server.max_body: ") && faults.contains("\"8MiB\""), "{written}: {faults}");
    }
    for written in ["'63KiB'", "'257MiB'", "0"] {
        let faults = World::new().bad(&with("server", &format!("max_body = {written}")));
        assert!(faults.contains("between \"64KiB\" and \"256MiB\""), "{written}: {faults}");
    }
}

#[test]
fn durations_need_their_unit() {
    let config = World::new().good(&with("server", "response_deadline = '2s'\nclock_skew = '2m'"));
    assert_eq!(config.server.response_deadline, Duration::from_secs(2));
    assert_eq!(config.server.clock_skew, Duration::from_secs(120));
    for written in ["8500", "'8500'", "8.5", "'soon'"] {
        let faults = World::new().bad(&with("server", &format!("response_deadline = {written}")));
        assert!(faults.contains("a number and a unit"), "{written}: {faults}");
    }
}

#[test]
fn times_that_do_not_nest_are_faults_which_name_both() {
    let faults = World::new().bad(&with("server", "response_deadline = '12s'"));
    assert!(faults.contains("server.response_deadline: \"12s\" is not below the 10 s"), "{faults}");
    assert!(!faults.contains("drain"), "a value that is refused makes no further fault: {faults}");
    let faults = World::new().bad(&with("server", "response_deadline = '10s'"));
    assert!(faults.contains("set it below \"10s\""), "{faults}");
    let faults = World::new().bad(&with("server", "response_deadline = '499ms'"));
    assert!(faults.contains("\"500ms\" or more"), "{faults}");
    let faults = World::new().bad(&with("server", "drain_timeout = '8s'"));
    assert!(
        faults.contains("server.drain_timeout: \"8s\" is not longer than server.response_deadline (\"8500ms\")"),
        "{faults}"
    );
    let faults = World::new().bad(&with("server", "clock_skew = '301s'"));
    assert!(faults.contains("\"300s\" or less"), "{faults}");
}

#[test]
fn networks_are_cidrs_or_addresses_and_mapped_ones_become_ipv4() {
    let line = "trusted_proxies = ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1', '::ffff:10.1.0.0/112']";
    let config = World::new().good(&with("server", line));
    let shown: Vec<_> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "10.1.0.0/16"]);
}

#[test]
fn a_network_that_is_none_is_a_fault_at_its_place() {
    let faults = World::new().bad(&with("server", "trusted_proxies = ['10.0.0.0/8', '10.0.0.0/33', 'proxy']"));
    assert!(
        faults.contains("server.trusted_proxies[1]: ") && faults.contains("server.trusted_proxies[2]: "),
        "{faults}"
    );
    let faults = World::new().bad(&with("server", "trusted_proxies = ['10.1.2.3/8']"));
    assert!(faults.contains("write \"10.0.0.0/8\" for the network, or \"10.1.2.3\""), "{faults}");
}

#[test]
fn listeners_are_addresses_with_ports_of_their_own() {
    let faults = World::new().bad(&with("server", "listen = 'localhost:8080'\nadmin_listen = ':9090'"));
    assert_eq!(faults.matches("is not an address to listen on").count(), 2, "{faults}");
    let faults = World::new().bad(&with("server", "listen = '0.0.0.0:9464'"));
    assert!(faults.contains("server.admin_listen: ") && faults.contains("different ports"), "{faults}");
    World::new().good(&with("server", "listen = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'"));
}

#[test]
fn tls_needs_both_files_and_both_in_pem() {
    let faults = World::new().bad(&with("server", "tls = { certificate = 'absent.crt' }"));
    assert!(faults.contains("server.tls.certificate: /etc/bridge/absent.crt does not exist"), "{faults}");
    assert!(faults.contains("server.tls.key: is missing"), "{faults}");
    let faults = World::new().bad(&with("server", "tls = { certificate = 'tls.key', key = 'tls.crt' }"));
    assert!(faults.contains("contains no CERTIFICATE") && faults.contains("contains no PRIVATE KEY"), "{faults}");
    let faults = World::new().bad(&with("server", "tls = { certificate = 'tls.crt', key = 'tls.key', ca = 'x' }"));
    assert!(faults.contains("server.tls.ca: is not a known key"), "{faults}");
}

#[test]
fn topic_prefixes_must_make_legal_topics() {
    for bad in ["'id aas'", "'idaas/x'", "'ünicode'", "''", &format!("'{}'", "x".repeat(227))] {
        let faults = World::new().bad(&with("topics", &format!("prefix = {bad}")));
        assert!(faults.starts_with("topics.prefix: "), "{bad}: {faults}");
    }
    let longest = "x".repeat(226);
    let config = World::new().good(&with("topics", &format!("prefix = '{longest}'")));
    assert_eq!(format!("{}.organizational-unit.v1", config.topics.prefix).len(), 249);
}

#[test]
fn numbers_out_of_range_are_faults_with_the_range() {
    let faults = World::new().bad(&with("topics", "partitions = 0\nreplication_factor = 3000000000"));
    assert!(faults.contains("topics.partitions: 0 is out of range; set it between 1 and 10000"), "{faults}");
    assert!(faults.contains("topics.replication_factor: 3000000000 is out of range"), "{faults}");
    for bad in ["0", "1000001", "'20000'", "2.5"] {
        let faults = World::new().bad(&with("server", &format!("max_in_flight_events = {bad}")));
        assert!(faults.starts_with("server.max_in_flight_events: "), "{bad}: {faults}");
    }
    World::new().good(&with("server", "max_in_flight_events = 1000000"));
}

#[test]
fn retention_is_a_duration_or_unlimited() {
    let retention = |value: &str| World::new().good(&with("topics", &format!("retention = {value}"))).topics.retention;
    assert_eq!(retention("'7d'"), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(retention("'unlimited'"), None);
    for bad in ["30", "'30'", "'59m'", "'101y'", "'forever'", "-1"] {
        let faults = World::new().bad(&with("topics", &format!("retention = {bad}")));
        assert!(faults.starts_with("topics.retention: ") && faults.contains("unlimited"), "{bad}: {faults}");
    }
}

#[test]
fn a_choice_lists_what_can_be_chosen() {
    let faults = World::new().bad(&with("topics", "event_mode = 'batch'"));
    assert_eq!(faults, "topics.event_mode: \"batch\" is not known here; write \"binary\" or \"structured\"\n");
    let faults = World::new().bad(&with("log", "level = 'warning'"));
    assert!(faults.contains("write \"error\" or \"warn\" or"), "{faults}");
}

#[test]
fn a_journal_must_be_large_enough_and_have_keys() {
    let faults = World::new().bad(&with("journal", "max_size = '1MiB'"));
    assert!(faults.contains("journal.max_size: ") && faults.contains("\"16MiB\" or more"), "{faults}");
    let faults = World::new().bad(&super::MINIMAL.replace("[{ file = \"journal.key\" }]", "[]"));
    assert!(faults.contains("journal.keys: is empty") && faults.contains("openssl rand -hex 32"), "{faults}");
}

#[test]
fn more_than_one_replica_is_followed_unless_that_is_refused() {
    let dedupe = |lines: &str| World::new().good(&with("dedupe", lines)).dedupe;
    assert_eq!(dedupe("replicas = 2"), Dedupe { replicas: 2, follow_replicas: true });
    assert_eq!(dedupe("replicas = 2\nfollow_replicas = false"), Dedupe { replicas: 2, follow_replicas: false });
    assert_eq!(dedupe("follow_replicas = true"), Dedupe { replicas: 1, follow_replicas: true });
    let by_variable = World::new().variable("IDAAS_BRIDGE_DEDUPE__REPLICAS", "3").good(super::MINIMAL).dedupe;
    assert_eq!(by_variable, Dedupe { replicas: 3, follow_replicas: true });
}

#[test]
fn dedupe_rejects_wrong_replicas_and_unknown_keys() {
    let faults = World::new().bad(&with("dedupe", "replicas = 0\nfollow = true"));
    assert!(faults.contains("dedupe.replicas: 0 is out of range"), "{faults}");
    assert!(faults.contains("dedupe.follow: is not a known key") && faults.contains("\"follow_replicas\""), "{faults}");
}

#[test]
fn state_topics_are_wanted_only_with_their_section() {
    let server = "admin_listen = '127.0.0.1:9999'";
    assert_eq!(World::new().good(super::MINIMAL).state, None);
    let state = World::new().good(&format!("[server]\n{server}\n{}", with("state", ""))).state.unwrap();
    assert_eq!(state.group_id, "idaas-bridge-state");
    assert_eq!(state.directory, Path::new("/var/lib/idaas-bridge/state"));
    assert_eq!(state.admin_listen.to_string(), "127.0.0.1:9999");
    let lines = "group_id = 'mine'\ndirectory = 'state'\nadmin_listen = '0.0.0.0:1234'";
    let state = World::new().good(&with("state", lines)).state.unwrap();
    assert_eq!((state.group_id.as_str(), state.admin_listen.port()), ("mine", 1234));
    assert_eq!(state.directory, Path::new("/etc/bridge/state"));
    let by_variable = World::new().variable("IDAAS_BRIDGE_STATE__GROUP_ID", "other").good(super::MINIMAL).state;
    assert_eq!(by_variable.unwrap().group_id, "other");
    let faults = World::new().bad(&with("state", "group_id = 'with blanks'\ngroup = 'x'"));
    assert!(faults.contains("state.group_id: \"with blanks\" is not a usable consumer group"), "{faults}");
    assert!(faults.contains("state.group: is not a known key") && faults.contains("\"group_id\""), "{faults}");
}
