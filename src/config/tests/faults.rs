use super::{MINIMAL, World, shown};

/// A configuration with many mistakes.
const HALF_BROKEN: &str = r#"
[server]
listn = "0.0.0.0:8080"
response_deadline = "12s"
[kafka]
bootstrap_servers = ["kafka-1"]
[kafka.properties]
"acks" = "1"
[journal]
keys = [{ file = "absent.key" }]
[[application]]
name = "Work Force"
id = "app_one"
jwks = "https://eiam.example.com/jwks"
decryption_key = [{ file = "current.key" }]
"#;

#[test]
fn all_faults_are_reported_at_once_in_file_order() {
    let faults = World::new().parse(HALF_BROKEN).err().unwrap();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "server.response_deadline",
        "server.listn",
        "kafka.bootstrap_servers[0]",
        "kafka.properties.acks",
        "journal.keys[0]",
        "application[0].name",
        "application[0].decryption_keys",
        "application[0].decryption_key",
    ];
    assert_eq!(keys, expected, "{}", shown(&faults));
    assert!(faults.iter().all(|fault| !fault.problem.is_empty() && fault.remedy.is_some()));
}

#[test]
fn an_unknown_key_is_a_fault_that_names_it_and_its_neighbour() {
    let faults = World::new().bad(HALF_BROKEN);
    assert!(faults.contains("server.listn: is not a known key; did you mean \"listen\"?"), "{faults}");
    assert!(faults.contains("decryption_key: is not a known key; did you mean \"decryption_keys\"?"), "{faults}");
    let faults = World::new().bad(&super::with("log", "colour = true"));
    assert!(faults.contains("log.colour: is not a known key; remove it; known keys: format, level"), "{faults}");
}

#[test]
fn an_unknown_section_is_a_fault() {
    let faults = World::new().bad(&format!("colour = 1\n[severs]\nlisten = 'x'\n{MINIMAL}"));
    assert!(faults.contains("severs: is not a known section; did you mean \"server\"?"), "{faults}");
    assert!(faults.contains("colour: is not a known section; put it under one of"), "{faults}");
    let faults = World::new().bad(&format!("server = 3\n{MINIMAL}"));
    assert!(faults.contains("server: is a number; write a table here"), "{faults}");
}

#[test]
fn an_empty_file_is_told_what_is_needed() {
    let faults = World::new().bad("");
    for key in ["kafka.bootstrap_servers", "journal.keys", "application"] {
        assert!(faults.contains(&format!("{key}: is missing")), "{faults}");
    }
    assert_eq!(faults.lines().count(), 3, "{faults}");
}

#[test]
fn every_syntax_error_is_told_with_its_place() {
    let faults = World::new().bad("[server\nlisten = \"a\"\n[kafka]\nbootstrap_servers = [\"x\"\n= 3\n");
    assert!(faults.starts_with("line 1, column 8: is not valid TOML ("), "{faults}");
    assert!(faults.lines().count() >= 2, "{faults}");
    let faults = World::new().bad("[log]\nlevel = 'info'\nlevel = 'debug'\n");
    assert!(faults.starts_with("line 3, column 1: "), "{faults}");
}

#[test]
fn a_fault_reads_as_key_problem_and_remedy() {
    let faults = World::new().bad(&super::with("server", "response_deadline = '12s'"));
    assert_eq!(
        faults,
        "server.response_deadline: \"12s\" is not below the 10 s that IDaaS waits for an answer; \
         set it below \"10s\"; \"8500ms\" leaves time for the network\n"
    );
}

#[test]
fn values_of_a_wrong_type_are_faults_that_name_the_right_one() {
    for (section, line, expected) in [
        ("server", "listen = 8080", "server.listen: is a number; write a string in quotes"),
        ("server", "trusted_proxies = '::1'", "server.trusted_proxies: is a string; write a list"),
        ("topics", "create = 'yes'", "topics.create: is a string; write true or false"),
        ("topics", "partitions = '12'", "topics.partitions: is a string; write a whole number"),
        ("topics", "prefix = 1979-05-27", "topics.prefix: is a date; write a string"),
        ("topics", "prefix = true", "topics.prefix: is a boolean; write a string"),
        ("kafka", "properties = []", "kafka.properties: is a list; write a table"),
    ] {
        let faults = World::new().bad(&super::with(section, line));
        assert!(faults.contains(expected), "{faults}");
    }
}

#[test]
fn a_missing_configuration_names_the_command_that_writes_one() {
    let directory = tempfile::tempdir().unwrap();
    let faults = crate::config::Config::load(&directory.path().join("absent.toml")).err().unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().contains("idaas-bridge simulate init"), "{}", faults[0]);
}

#[test]
fn a_configuration_on_disk_is_loaded_with_the_files_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("bridge.toml", MINIMAL), ("journal.key", super::KEY), ("current.key", super::OTHER_KEY)] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    assert!(crate::config::Config::load(&directory.path().join("bridge.toml")).is_ok());
}
