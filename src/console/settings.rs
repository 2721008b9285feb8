//! The current configuration as the console shows it: an explicit list of keys that cannot contain a secret.

use std::time::Duration;

use idaas_callback::policy::Passwords;
use serde::Serialize;

use crate::config::{Application, Config, JwksSource};

/// Maximum number of applications shown.
const MAX_APPLICATIONS: usize = 50;

/// A table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Section {
    name: String,
    values: Vec<(&'static str, String)>,
}

/// Returns the values to show. A value that can be a secret is not read, except to count it.
pub(super) fn sections(config: &Config) -> Vec<Section> {
    let mut sections = vec![
        section("server", server(config)),
        section("kafka", kafka(config)),
        section("topics", topics(config)),
        section("journal", journal(config)),
        section("dedupe", dedupe(config)),
        section("log", log(config)),
    ];
    sections.extend(config.state.as_ref().map(|state| {
        let values = vec![("group_id", state.group_id.clone()), ("admin_listen", state.admin_listen.to_string())];
        section("state", values)
    }));
    // The endpoint is not shown, because it can contain a token.
    sections.extend(config.tracing.as_ref().map(|tracing| {
        let headers = format!("{} configured", tracing.headers.len());
        let (ratio, name) = (tracing.sample_ratio.to_string(), tracing.service_name.clone());
        section("tracing", vec![("sample_ratio", ratio), ("service_name", name), ("headers", headers)])
    }));
    sections.extend(config.applications.iter().take(MAX_APPLICATIONS).map(|application| {
        let name = format!("application {}", application.name);
        Section { name, values: self::application(application) }
    }));
    sections
}

fn section(name: &str, values: Vec<(&'static str, String)>) -> Section {
    Section { name: name.to_owned(), values }
}

fn server(config: &Config) -> Vec<(&'static str, String)> {
    let server = &config.server;
    vec![
        ("listen", server.listen.to_string()),
        ("admin_listen", server.admin_listen.to_string()),
        ("response_deadline", time(server.response_deadline)),
        ("drain_timeout", time(server.drain_timeout)),
        ("clock_skew", time(server.clock_skew)),
        ("max_body", size(server.max_body as u64)),
        ("max_memory", size(server.max_memory as u64)),
        ("max_in_flight_events", server.max_in_flight_events.to_string()),
        ("trusted_proxies", list(&server.trusted_proxies)),
        ("tls", yes(server.tls.is_some())),
        ("watch_files", yes(server.watch_files)),
        ("admin_token", set(config.admin_token.is_some())),
    ]
}

fn kafka(config: &Config) -> Vec<(&'static str, String)> {
    let properties = config.kafka.properties.keys().map(String::as_str).collect::<Vec<_>>();
    vec![
        ("bootstrap_servers", config.kafka.bootstrap_servers.join(", ")),
        // Names only, because any value can be a password.
        ("properties", if properties.is_empty() { "none".to_owned() } else { properties.join(", ") }),
    ]
}

fn topics(config: &Config) -> Vec<(&'static str, String)> {
    let topics = &config.topics;
    vec![
        ("prefix", topics.prefix.clone()),
        ("create", yes(topics.create)),
        ("partitions", topics.partitions.to_string()),
        ("replication_factor", topics.replication_factor.to_string()),
        ("retention", topics.retention.map_or_else(|| "without limit".to_owned(), time)),
        ("event_mode", name(topics.event_mode)),
    ]
}

fn journal(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("directory", config.journal.directory.display().to_string()),
        ("max_size", size(config.journal.max_size)),
        ("keys", format!("{} configured", config.journal.keys.len())),
    ]
}

fn dedupe(config: &Config) -> Vec<(&'static str, String)> {
    vec![("replicas", config.dedupe.replicas.to_string()), ("follow_replicas", yes(config.dedupe.follow_replicas))]
}

fn log(config: &Config) -> Vec<(&'static str, String)> {
    vec![("format", name(config.log.format)), ("level", name(config.log.level)), ("events", yes(config.log.events))]
}

fn application(application: &Application) -> Vec<(&'static str, String)> {
    let passwords = match application.passwords {
        Passwords::Drop => "removed",
        Passwords::Seal(_) => "sealed",
    };
    let mut values = vec![
        ("id", application.id.clone()),
        ("instance_id", application.instance_id.clone().unwrap_or_else(|| "any".to_owned())),
        ("jwks", jwks(&application.jwks)),
        ("decryption_keys", format!("{} configured", application.decryption_keys.len())),
        ("require_encryption", yes(application.require_encryption)),
        ("allowed_networks", list(&application.allowed_networks)),
        ("passwords", passwords.to_owned()),
        ("skip", list(&application.skip)),
    ];
    values.extend(application.topic_prefix.clone().map(|prefix| ("topic_prefix", prefix)));
    values
}

/// Describes the source of the keys. Only the host of a URL is shown, because the URL can contain a user, a password
/// and a token.
fn jwks(source: &JwksSource) -> String {
    match source {
        JwksSource::Url { url, .. } => {
            let host =
                url::Url::parse(url).ok().and_then(|url| Some(format!("{} at {}", url.scheme(), url.host_str()?)));
            host.unwrap_or_else(|| "a URL".to_owned())
        }
        JwksSource::File(path) => path.display().to_string(),
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let exact = units.into_iter().find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    exact.map_or_else(|| format!("{bytes} B"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

fn name(value: impl Into<&'static str>) -> String {
    value.into().to_owned()
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn set(value: bool) -> String {
    if value { "set" } else { "not set" }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::Sources;

    const KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7abcd";

    #[test]
    fn no_secret_of_the_configuration_is_shown() {
        let text = r#"
            [server]
            admin_token = "hush-admin-token-0123456789"
            [kafka]
            bootstrap_servers = ["kafka-1:9092"]
            properties = { "sasl.mechanism" = "PLAIN", "security.protocol" = "sasl_ssl", "sasl.username" = "hush-user", "sasl.password" = "hush-password" }
            [journal]
            keys = [{ file = "journal.key" }]
            [[application]]
            name = "workforce"
            id = "app_one"
            jwks = "https://eiam.example.com/hush-path/jwks?token=hush-query"
            decryption_keys = [{ file = "current.key" }]
        "#;
        let read = |_: &Path| Ok(KEY.as_bytes().to_vec());
        let sources = Sources { directory: Path::new("/etc/bridge"), variables: BTreeMap::new(), read: &read };
        let config = Config::parse(text, &sources).unwrap_or_else(|faults| panic!("{faults:?}"));
        let shown = serde_json::to_string(&sections(&config)).unwrap();
        assert!(!shown.contains("hush") && !shown.contains("5ec2e7"), "{shown}");
        for expected in ["kafka-1:9092", "https at eiam.example.com", "sasl.password", "workforce", "8 MiB", "8s 500ms"]
        {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    }
}
