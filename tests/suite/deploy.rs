//! What is shipped for deployment fits the program: its configurations load, its files and variables exist, its alerts
//! ask for metrics that there are, and whoever stops the process waits long enough.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use idaas_bridge::config::{Application, Config, PREFIX, Sources};
use idaas_callback::policy::Passwords;
use idaas_simulator::signing::SigningKey;

/// The texts in the sources of the telemetry. Every metric is named there, without its prefix, and nowhere else.
fn telemetry_texts() -> BTreeSet<String> {
    let files = files(&repository("src/telemetry")).into_iter();
    let all: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    all.split('"').map(str::to_owned).collect()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Loads a configuration with its secrets made up by the names of their files.
fn load(text: &str, variables: BTreeMap<String, String>) -> Config {
    try_load(text, variables).unwrap_or_else(|faults| panic!("{faults}"))
}

fn try_load(text: &str, variables: BTreeMap<String, String>) -> Result<Config, String> {
    let read = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(match name.as_str() {
            "kafka.password" | "admin.token" | "client.secret" => b"0123456789abcdef\n".to_vec(),
            "jwks.json" => SigningKey::generate("one").unwrap().to_jwks().to_string().into_bytes(),
            certificate if certificate.ends_with(".crt") || certificate.ends_with(".pem") => {
                b"-----BEGIN CERTIFICATE-----\n".to_vec()
            }
            "tls.key" => b"-----BEGIN PRIVATE KEY-----\n".to_vec(),
            key if key.ends_with(".key") => {
                let digit = name.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte)) % 16;
                format!("{digit:x}").repeat(64).into_bytes()
            }
            _ => return Err(std::io::ErrorKind::NotFound.into()),
        })
    };
    let around = Sources { directory: Path::new("/etc/idaas-bridge"), variables, read: &read };
    Config::parse(text, &around).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

const EXAMPLES: [&str; 2] = ["deploy/bridge.example.toml", "deploy/bridge.minimal.toml"];

const CHART: &str = "deploy/helm/idaas-bridge";

#[test]
fn every_example_configuration_loads_without_a_warning() {
    for path in EXAMPLES {
        let config = load(&text(path), BTreeMap::new());
        let about: Vec<_> = config.warnings.iter().map(|warning| warning.key.as_str()).collect();
        // The complete one shows the defaults, and warns of those that production should not leave as they are.
        let defaults = ["kafka.properties.\"security.protocol\"", "application[workforce].allowed_networks"];
        let expected = if path == EXAMPLES[0] { &defaults[..] } else { &[] };
        assert_eq!(about, expected, "{path}");
    }
}

#[test]
fn every_configuration_that_is_shipped_is_among_the_examples() {
    let shipped: BTreeSet<_> = files(&repository("deploy"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert_eq!(shipped, EXAMPLES.iter().map(|path| repository(path)).collect());
}

/// The lines of the complete example that everybody has to put values of their own into.
const YOURS: [&str; 7] = ["bootstrap_servers", "keys", "name", "id", "instance_id", "jwks", "decryption_keys"];

/// Everything that a configuration says.
fn effective(config: &Config) -> (idaas_bridge::config::Server, String) {
    let Config { server, kafka, topics, journal, dedupe, log, applications, .. } = config;
    let properties: Vec<_> = kafka.properties.keys().collect();
    let mut all = format!("{:?} {properties:?} {topics:?} {dedupe:?} {log:?}", kafka.bootstrap_servers);
    all += &format!(" {:?} {} {}", journal.directory, journal.max_size, journal.keys.len());
    for application in applications {
        let Application { name, id, instance_id, decryption_keys, require_encryption, allowed_networks, .. } =
            application;
        let passwords = matches!(application.passwords, Passwords::Drop);
        all += &format!(" {name} {id} {instance_id:?} {} {require_encryption}", decryption_keys.len());
        all += &format!(" {allowed_networks:?} {passwords} {:?} {:?}", application.skip, application.topic_prefix);
    }
    (server.clone(), all)
}

#[test]
fn each_active_line_of_the_example_is_a_default_or_yours() {
    let example = text("deploy/bridge.example.toml");
    let whole = effective(&load(&example, BTreeMap::new()));
    let mut compared = 0;
    for line in example.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        let key = line.split(" = ").next().unwrap();
        if !YOURS.contains(&key) {
            let without = example.replace(&format!("\n{line}\n"), "\n");
            let without = try_load(&without, BTreeMap::new()).unwrap_or_else(|faults| panic!("{line}: {faults}"));
            assert!(effective(&without) == whole, "{line}");
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn commented_out_lines_of_the_example_are_valid() {
    let whole: String = text("deploy/bridge.example.toml")
        .lines()
        .filter(|line| !line.starts_with("passwords"))
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => format!("{key}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let config = load(&whole.replace("\ncredential_key", "\npasswords = \"seal\"\ncredential_key"), BTreeMap::new());
    assert!(config.server.tls.is_some());
    assert_eq!(config.applications[0].topic_prefix.as_deref(), Some("idaas-workforce"));
}

/// The configuration that a values file of the chart contains as a block of text.
fn configuration_of_values(path: &Path) -> String {
    let values = std::fs::read_to_string(path).unwrap();
    let (_, block) = values.split_once("\nconfig: |\n").unwrap();
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("  "));
    lines.map(|line| line.trim_start().to_owned() + "\n").collect()
}

#[test]
fn chart_configurations_load_without_a_warning() {
    let cases = files(&repository(CHART).join("ci"));
    assert!(cases.len() > 3, "{cases:?}");
    for path in cases {
        let variables = BTreeMap::from([("KAFKA_PASSWORD".to_owned(), "0123456789abcdef".to_owned())]);
        let config = load(&configuration_of_values(&path), variables);
        let about: Vec<_> = config.warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert!(about.is_empty(), "{}: {about:?}", path.display());
    }
}

#[test]
fn the_chart_has_the_version_and_files_of_the_repository() {
    let chart = text(&format!("{CHART}/Chart.yaml"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\n")), "{chart}");
    assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")), "{chart}");
    for (link, file) in
        [("alerts.yml", "deploy/prometheus/alerts.yml"), ("dashboard.json", "deploy/grafana/idaas-bridge.json")]
    {
        let linked = repository(CHART).join("files").join(link).canonicalize().unwrap();
        assert_eq!(linked, repository(file).canonicalize().unwrap());
    }
}

/// Keys whose change does not restart the chart's pods, each with a configuration that has it changed.
fn reloadable_changes(minimal: &str) -> BTreeMap<&'static str, String> {
    let replaced = |old: &str, new: &str| {
        assert!(minimal.contains(old), "{old}");
        minimal.replace(old, new)
    };
    BTreeMap::from([
        ("application", replaced("name = \"workforce\"", "name = \"partners\"")),
        ("kafka.properties", replaced("kafka-ca.pem", "other.pem")),
        ("journal.keys", replaced("journal.key", "other.key")),
        ("server.admin_token", format!("[server]\nadmin_token = {{ file = \"admin.token\" }}\n{minimal}")),
        ("log.level", format!("[log]\nlevel = \"debug\"\n{minimal}")),
        ("log.events", format!("[log]\nevents = true\n{minimal}")),
    ])
}

#[test]
fn the_chart_leaves_to_a_reload_what_needs_no_restart() {
    let helpers = text(&format!("{CHART}/templates/_config.tpl"));
    let listed = helpers.split("range $key := list ").nth(1).unwrap().split(" -}}").next().unwrap();
    let listed: BTreeSet<_> = listed.split(' ').map(|key| key.trim_matches('"')).collect();
    let minimal = text("deploy/bridge.minimal.toml");
    let changes = reloadable_changes(&minimal);
    assert_eq!(listed, changes.keys().copied().collect());
    let before = load(&minimal, BTreeMap::new());
    for (key, changed) in changes {
        let needed = before.needs_restart(&load(&changed, BTreeMap::new()));
        assert!(needed.is_empty(), "{key}: {needed:?}");
    }
}

#[test]
fn the_minimal_example_has_at_most_a_dozen_lines() {
    assert!(text("deploy/bridge.minimal.toml").lines().count() <= 12);
}

/// The variables that docker-compose.yml sets for the bridge, with the defaults of `${NAME:-default}`.
fn compose_variables() -> BTreeMap<String, String> {
    let compose = text("docker-compose.yml");
    let settings = compose.lines().filter_map(|line| line.trim().strip_prefix(PREFIX)?.split_once(": "));
    settings
        .map(|(name, value)| {
            let value = value.trim_matches('"');
            let value = value
                .strip_prefix("${")
                .and_then(|value| value.strip_suffix('}')?.split_once(":-"))
                .map_or(value, |(_, default)| default);
            (format!("{PREFIX}{name}"), value.to_owned())
        })
        .collect()
}

#[test]
fn compose_variables_are_keys_that_take_effect() {
    let variables = compose_variables();
    assert!(variables.len() >= 5);
    let config = load(&text("deploy/bridge.minimal.toml"), variables);
    assert_eq!(config.kafka.bootstrap_servers, ["kafka-1:19092", "kafka-2:19092", "kafka-3:19092"]);
    assert_eq!(config.server.admin_listen.to_string(), "0.0.0.0:9464");
    assert!(config.topics.create);
}

#[test]
fn compose_paths_exist_and_volumes_are_declared() {
    let compose = text("docker-compose.yml");
    let (services, declared) = compose.split_once("\nvolumes:\n").unwrap();
    let declared: BTreeSet<_> = declared.lines().map(|line| line.trim().trim_end_matches(':')).collect();
    let mounts = services.split(|c: char| c.is_whitespace() || "[]\"".contains(c)).filter_map(|word| {
        word.split_once(":/").map(|(source, _)| source).filter(|source| {
            let local = source.starts_with("./");
            local || source.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
    });
    let mut used = BTreeSet::new();
    for source in mounts.filter(|source| *source != "http") {
        if source.starts_with("./") {
            assert!(repository(source).is_file(), "{source}");
        } else {
            assert!(declared.contains(source), "{source} is no declared volume");
            used.insert(source);
        }
    }
    assert_eq!(used, declared, "volumes that nobody uses");
    for dockerfile in services.lines().filter_map(|line| line.trim().strip_prefix("dockerfile: ")) {
        assert!(repository(dockerfile).is_file(), "{dockerfile}");
    }
}

#[test]
fn the_image_is_built_from_files_that_exist_and_reach_the_build() {
    let admitted = text("deploy/Dockerfile.dockerignore");
    let admitted: BTreeSet<_> = admitted.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let dockerfile = text("deploy/Dockerfile");
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY") && !line.contains("--from=")) {
        let source = line.split_whitespace().find(|word| *word != "COPY" && !word.starts_with("--")).unwrap();
        assert!(repository(source).exists(), "{source}");
        assert!(source == "." || admitted.contains(source), "{source} is kept from the build");
    }
    let sources = ["src", "crates"].map(|directory| files(&repository(directory))).concat();
    for source in sources.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs")) {
        let code = std::fs::read_to_string(&source).unwrap();
        for included in ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|start| code.split(start).skip(1)) {
            let path = source.parent().unwrap().join(included.split('"').next().unwrap());
            let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let inside = path.strip_prefix(repository("").canonicalize().unwrap()).unwrap().to_owned();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            assert!(admitted.contains(first.as_str()), "{} is kept from the build", inside.display());
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn release_program_names_functions_without_debug_info() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_idaas-bridge")).unwrap();
    let has_section = |name: &[u8]| program.split(|byte| *byte == 0).any(|text| text == name);
    assert!(!has_section(b".debug_info"), "the program has debug information");
    assert!(has_section(b".symtab"), "backtraces of the program would not name functions");
}

#[test]
fn whoever_stops_the_bridge_waits_longer_than_its_drain() {
    let seconds = |path: &str, key: &str| {
        let found = text(path);
        let value = found.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_else(|| panic!("{path}"));
        let digits: String = value.trim().chars().take_while(char::is_ascii_digit).collect();
        Duration::from_secs(digits.parse().unwrap())
    };
    let drain = load(&text("deploy/bridge.minimal.toml"), BTreeMap::new()).server.drain_timeout;
    assert!(seconds("docker-compose.yml", "stop_grace_period:") > drain);
    assert!(seconds("deploy/systemd/idaas-bridge.service", "TimeoutStopSec=") > drain);
}

#[test]
fn alerts_dashboard_and_pages_name_only_existing_metrics() {
    let exported = telemetry_texts();
    let pages = ["docs/alerts.md", "docs/operations.md"];
    let files =
        ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml", "deploy/grafana/idaas-bridge.json"];
    for path in files.into_iter().chain(pages) {
        let rules = text(path);
        let mut asked = 0;
        for rest in rules.split("idaas_bridge_").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            // A pattern of several names: idaas_bridge_(state_)?build_info.
            if name.is_empty() {
                continue;
            }
            let metric = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(&name);
            assert!(exported.contains(metric), "{path}: there is no metric idaas_bridge_{name}");
            asked += 1;
        }
        assert!(asked > 10 || pages.contains(&path), "{path}");
    }
}

/// The panels of the dashboard, rows included.
fn panels() -> Vec<serde_json::Value> {
    let dashboard: serde_json::Value = serde_json::from_str(&text("deploy/grafana/idaas-bridge.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

#[test]
fn every_panel_of_the_dashboard_has_its_place_and_its_source() {
    let (mut ids, mut bottom) = (BTreeSet::new(), 0);
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is used twice");
        let grid = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(grid("x") + grid("w") <= 24, "{title} is wider than the dashboard");
        if panel["type"] == "row" {
            assert!(grid("y") >= bottom, "{title} covers panels");
        } else {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(panel["targets"].as_array().is_some_and(|queries| !queries.is_empty()), "{title}");
        }
        bottom = bottom.max(grid("y") + grid("h"));
    }
    let rows: Vec<_> = panels().into_iter().filter(|panel| panel["type"] == "row").collect();
    assert_eq!(rows[0]["title"], "Is anything wrong");
    assert_eq!(rows.len(), 7);
}

#[test]
fn every_alert_explains_itself_and_is_tested_both_ways() {
    let tests = text("deploy/prometheus/alerts_test.yml") + &text("deploy/prometheus/alerts_days_test.yml");
    let runbook = text("docs/alerts.md");
    let mut names = BTreeSet::new();
    for rule in text("deploy/prometheus/alerts.yml").split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let anchor = format!("/alerts.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&format!("runbook_url: https://docs.example.com/idaas-bridge{anchor}")), "{name}");
        assert!(runbook.contains(&format!("\n### {name}\n")), "docs/alerts.md does not explain {name}");
        let quiet = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}");
        assert!(tests.contains(&quiet), "no test that {name} stays quiet");
        let firing = format!("ALERTS{{alertstate=\"firing\",alertname=\"{name}\"}}");
        assert!(tests.contains(&firing), "no test that {name} fires");
        names.insert(format!("### {name}"));
    }
    let explained: BTreeSet<_> = runbook.lines().filter(|line| line.starts_with("### ")).map(str::to_owned).collect();
    assert_eq!(explained, names, "docs/alerts.md explains what there is");
}

#[test]
fn one_port_is_the_admin_listener_s_everywhere() {
    let port = load(&text("deploy/bridge.minimal.toml"), BTreeMap::new()).server.admin_listen.port();
    for (path, line) in [
        ("docker-compose.yml", format!("IDAAS_BRIDGE_SERVER__ADMIN_LISTEN: 0.0.0.0:{port}")),
        ("docker-compose.yml", format!("127.0.0.1:${{ADMIN_PORT:-{port}}}:{port}")),
        ("deploy/Dockerfile", format!("EXPOSE 8080 {port}")),
        ("deploy/Dockerfile", format!("CMD [\"healthcheck\", \"{port}\"]")),
        ("deploy/healthcheck", format!("${{1:-{port}}}")),
        ("deploy/helm/idaas-bridge/templates/statefulset.yaml", format!("name: admin, containerPort: {port}")),
        ("deploy/helm/idaas-bridge/templates/state-deployment.yaml", format!("name: admin, containerPort: {port}")),
        ("deploy/helm/idaas-bridge/templates/services.yaml", format!("name: admin, port: {port}")),
        ("deploy/helm/idaas-bridge/templates/_pod.tpl", format!("prometheus.io/port: \"{port}\"")),
        ("deploy/prometheus/prometheus.yml", format!("bridge:{port}")),
    ] {
        assert!(text(path).contains(&line), "{path} has no {line}");
    }
}

#[test]
fn a_wrong_configuration_is_not_started_again_and_again() {
    let unit = text("deploy/systemd/idaas-bridge.service");
    assert!(unit.lines().any(|line| line == "RestartPreventExitStatus=2"));
}

#[test]
fn the_image_health_check_needs_200_from_livez() {
    for (answer, healthy) in [("200 OK", true), ("503 Service Unavailable", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = std::thread::spawn(move || {
            let (peer, _) = listener.accept().unwrap();
            let request: Vec<_> =
                BufReader::new(&peer).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            write!(&peer, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").unwrap();
            request.into_iter().next().unwrap()
        });
        let status = Command::new("bash").arg(repository("deploy/healthcheck")).arg(port).status().unwrap();
        assert_eq!(status.success(), healthy, "{answer}");
        assert_eq!(server.join().unwrap(), "GET /livez HTTP/1.1");
    }
}

#[test]
fn the_health_check_of_the_image_fails_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let output = Command::new("bash").arg(repository("deploy/healthcheck")).arg(port).output().unwrap();
    assert!(!output.status.success());
}
