//! The section `[kafka]`: brokers, and properties that are passed to librdkafka.
//!
//! Any property can be a password, so values are never quoted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::raw_value::{Entries, Raw, RawValue};
use super::table_reader::{Diagnostics, TableReader};
use super::{Cluster, SecretFile, files, properties, secrets};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::secret::Secret;
use crate::text;

type Properties = BTreeMap<String, Secret<String>>;
type Digests = BTreeMap<String, Option<[u8; 32]>>;

pub(super) fn read(
    diagnostics: &mut Diagnostics<'_>,
    raw_value: Option<RawValue>,
    deadline: Duration,
) -> Option<Cluster> {
    let mut section = TableReader::open(diagnostics, "kafka", raw_value);
    let name = section.name("bootstrap_servers");
    let before = section.diagnostics.faults.len();
    let servers = section.list("bootstrap_servers", |_, item| server(item));
    let example = "name some brokers: [\"kafka-1:9092\", \"kafka-2:9092\", \"kafka-3:9092\"]";
    match &servers {
        None => section.diagnostics.fault(&name, "is missing", example),
        Some(good) if good.is_empty() && section.diagnostics.faults.len() == before => {
            section.diagnostics.fault(&name, "is empty", example);
        }
        Some(_) => {}
    }
    let (properties, files) = read_properties(&mut section);
    section.close();
    let kafka = Cluster { bootstrap_servers: servers.unwrap_or_default(), properties, files };
    check_linger(diagnostics, &kafka.properties, deadline);
    warn_about_transport(diagnostics, &kafka);
    (!kafka.bootstrap_servers.is_empty()).then_some(kafka)
}

fn server(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    if text.contains("://") {
        let remedy = "write host:port, and set \"security.protocol\" in [kafka.properties]";
        return Err(misconfigured(format!("{text:?} has a scheme"), remedy));
    }
    let parts = text.rsplit_once(':').filter(|(host, port)| {
        let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        !host.is_empty()
            && !bare_v6
            && !host.contains([' ', ',', '/'])
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match parts {
        Some(_) => Ok(text.to_owned()),
        None => Err(misconfigured(
            format!("{text:?} is not a broker's address"),
            "write host:port, for example \
                \"kafka-1:9092\"",
        )),
    }
}

fn read_properties(section: &mut TableReader<'_, '_>) -> (Properties, Digests) {
    let (mut properties, mut named) = (Properties::new(), Digests::new());
    let Some(raw_value) = section.take("properties") else { return (properties, named) };
    let key = raw_value.key.clone();
    let Some(entries) = section.diagnostics.accept(&key, raw_value.table()) else { return (properties, named) };
    let mut flat = BTreeMap::new();
    flatten("", entries, &mut flat);
    for (name, raw_value) in flat {
        let key = raw_value.key.clone();
        if let Some(problem) = properties::refusal(&name) {
            section.diagnostics.accept::<()>(&key, Err(problem));
            continue;
        }
        let value = property(section.diagnostics, &name, &raw_value);
        let Some(value) = section.diagnostics.accept(&key, value) else { continue };
        if properties::is_path(&name) && value.expose() != "probe" {
            // Errors are ignored, because librdkafka reports unusable files.
            let content = files::read_location(section.diagnostics.files, &key, Path::new(value.expose()));
            named.insert(name.clone(), content.map(|content| Sha256::digest(&content).into()));
        }
        properties.insert(name, value);
    }
    read_pem_files(section.diagnostics, &mut properties);
    (properties, named)
}

/// Flattens tables: `"sasl.password" = …` and the unquoted `sasl.password = …`, which is a nested table in TOML, mean
/// the same.
fn flatten(path: &str, entries: Entries, flat: &mut BTreeMap<String, RawValue>) {
    for (name, raw_value) in entries {
        let name = if path.is_empty() { name } else { format!("{path}.{name}") };
        match raw_value.raw {
            Raw::Table(below) if !secrets::is_reference(&below) => flatten(&name, below, flat),
            raw @ (Raw::Table(_) | Raw::Plain(_) | Raw::Variable(_) | Raw::List(_)) => {
                let variable = matches!(raw, Raw::Variable(_));
                let raw_value = RawValue { key: raw_value.key, raw };
                if variable {
                    flat.insert(name, raw_value);
                } else {
                    flat.entry(name).or_insert(raw_value);
                }
            }
        }
    }
}

fn property(diagnostics: &mut Diagnostics<'_>, name: &str, raw_value: &RawValue) -> Result<Secret<String>, Diagnosis> {
    let plain = match &raw_value.raw {
        Raw::Table(_) => return secrets::text(diagnostics, raw_value),
        Raw::Plain(toml::Value::Integer(number)) => number.to_string(),
        Raw::Plain(toml::Value::Boolean(value)) => value.to_string(),
        Raw::Plain(toml::Value::String(_)) if is_secret(name) => return secrets::text(diagnostics, raw_value),
        Raw::Variable(_) if is_secret(name) => return secrets::text(diagnostics, raw_value),
        Raw::Plain(toml::Value::Float(number)) => number.to_string(),
        Raw::Plain(_) | Raw::Variable(_) | Raw::List(_) => raw_value.text()?.to_owned(),
    };
    // librdkafka accepts the word "probe" instead of a path, and then searches for the system's certificates.
    let value = if properties::is_path(name) && plain != "probe" {
        let path = files::resolve(diagnostics.files, &plain);
        let shown = path.display().to_string();
        if matches!(name, "ssl.key.location" | "ssl.keystore.location" | "sasl.kerberos.keytab") {
            diagnostics.secret_files.push(SecretFile { key: raw_value.key.clone(), path });
        }
        shown
    } else {
        plain
    };
    Ok(Secret::new(value))
}

/// Passes PEM texts inline if librdkafka cannot read their files, because of a byte-order mark or CR line endings.
/// Rejects an encrypted private key without a passphrase.
fn read_pem_files(diagnostics: &mut Diagnostics<'_>, properties: &mut Properties) {
    for (location, inline) in [
        ("ssl.ca.location", "ssl.ca.pem"),
        ("ssl.certificate.location", "ssl.certificate.pem"),
        ("ssl.key.location", "ssl.key.pem"),
    ] {
        let Some(path) = properties.get(location).map(|path| path.expose().clone()) else { continue };
        let Ok(content) = (diagnostics.files.read)(Path::new(&path)).map(Zeroizing::new) else { continue };
        let plain = text::plain(&content);
        if plain.len() != content.len()
            && plain.starts_with(b"-----BEGIN ")
            && let Ok(pem) = String::from_utf8(plain.into_owned())
        {
            properties.remove(location);
            properties.insert(inline.to_owned(), Secret::new(pem));
        }
    }
    let passphrase = ["ssl.key.password", "ssl.keystore.password"];
    if passphrase.iter().any(|name| properties.contains_key(*name)) {
        return;
    }
    let file =
        properties.get("ssl.key.location").and_then(|path| (diagnostics.files.read)(Path::new(path.expose())).ok());
    let inline = properties.get("ssl.key.pem").map(|pem| pem.expose().clone().into_bytes());
    if file.or(inline).map(Zeroizing::new).is_some_and(|content| files::needs_passphrase(&content)) {
        let key = if properties.contains_key("ssl.key.location") { "ssl.key.location" } else { "ssl.key.pem" };
        diagnostics.fault(
            format!("kafka.properties.\"{key}\""),
            "the private key needs a passphrase, and none is set",
            "set \"ssl.key.password\" = { file = \"…\" }, or write the key without one: openssl pkey -in KEY -out \
            plain.key",
        );
    }
}

/// Returns true for properties that are secret, whatever their value is.
fn is_secret(name: &str) -> bool {
    name.ends_with("password")
        || name.ends_with("secret")
        || name.ends_with("passphrase")
        || matches!(name, "ssl.key.pem" | "sasl.oauthbearer.config")
}

fn check_linger(diagnostics: &mut Diagnostics<'_>, properties: &Properties, deadline: Duration) {
    for name in ["linger.ms", "queue.buffering.max.ms"] {
        let linger = properties.get(name).and_then(|value| value.expose().parse::<f64>().ok());
        if linger.is_some_and(|milliseconds| milliseconds >= deadline.as_secs_f64() * 1000.0) {
            diagnostics.fault(
                format!("kafka.properties.\"{name}\""),
                "delays every record beyond server.response_deadline, so that no event could be confirmed in time",
                "set a few milliseconds, or remove it",
            );
        }
    }
}

fn warn_about_transport(diagnostics: &mut Diagnostics<'_>, kafka: &Cluster) {
    let value = |name| kafka.properties.get(name).map(|value| value.expose().to_ascii_lowercase());
    let local = |server: &String| ["localhost:", "127.", "[::1]:"].iter().any(|start| server.starts_with(start));
    if value("security.protocol").is_none() && !kafka.bootstrap_servers.iter().all(local) {
        diagnostics.warn(
            "kafka.properties.\"security.protocol\"",
            "personal data is sent to Kafka in clear text",
            "set \"ssl\" or \"sasl_ssl\", or \"plaintext\" if that is intended",
        );
    }
    if value("enable.ssl.certificate.verification").as_deref() == Some("false") {
        diagnostics.warn(
            "kafka.properties.\"enable.ssl.certificate.verification\"",
            "anybody can impersonate the broker",
            "remove it, and set \"ssl.ca.location\" to the authority's certificate",
        );
    }
    if value("ssl.endpoint.identification.algorithm").as_deref() == Some("none") {
        diagnostics.warn(
            "kafka.properties.\"ssl.endpoint.identification.algorithm\"",
            "anybody with a certificate of the same authority can impersonate the broker",
            "remove it",
        );
    }
}
