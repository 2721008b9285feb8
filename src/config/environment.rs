//! Settings from environment variables: `IDAAS_BRIDGE_<SECTION>__<KEY>` overrides the key in the file.
//!
//! This module does not read the environment; the variables are passed in.

use std::collections::BTreeSet;

use toml::Value;

use super::raw_value::{Entries, Raw, RawValue};
use super::table_reader::{Diagnostics, nearest};

/// Prefix of all variables that set a key.
pub const PREFIX: &str = "IDAAS_BRIDGE_";

/// The variable with the path of the configuration file, for commands without `--config`. Sets no key.
pub const CONFIG_VARIABLE: &str = "IDAAS_BRIDGE_CONFIG";

/// The sections whose keys can be set by variables.
pub(super) const SECTIONS: [&str; 8] = ["server", "kafka", "topics", "journal", "dedupe", "state", "log", "tracing"];

/// Returns the name of the variable that sets a key: `server.tls` and `key` give `IDAAS_BRIDGE_SERVER__TLS__KEY`.
pub(super) fn variable(section: &str, key: &str) -> String {
    let name = |text: &str| text.to_ascii_uppercase().replace('.', "_");
    let section: Vec<_> = section.split('.').map(name).collect();
    format!("{PREFIX}{}__{}", section.join("__"), name(key))
}

/// Overrides the file's keys with variables. A variable with our prefix that sets no key is a fault, unless the file
/// names it as the source of a secret, or Kubernetes created it.
pub(super) fn overlay(diagnostics: &mut Diagnostics<'_>, root: &mut Entries) {
    let mut sources = BTreeSet::new();
    root.values().for_each(|raw_value| collect_sources(raw_value, &mut sources));
    for (variable, value) in &diagnostics.files.variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        if sources.contains(variable) || is_service_link(rest, value) || variable == CONFIG_VARIABLE {
            continue;
        }
        let path: Vec<_> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let raw_value = RawValue { key: variable.clone(), raw: Raw::Variable(value.clone()) };
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [section, key] if SECTIONS.contains(section) => put(root, &[section], key, raw_value),
            ["server", "tls", key] => put(root, &["server", "tls"], key, raw_value),
            ["kafka", "properties", key] => put(root, &["kafka", "properties"], &key.replace('_', "."), raw_value),
            other => {
                diagnostics.fault(variable, "sets no known key", remedy_for(other));
            }
        }
    }
}

fn remedy_for(path: &[&str]) -> String {
    let first = path.first().copied().unwrap_or_default();
    if first == "application" || first.starts_with("application_") {
        return "applications are set in the file; a secret there can be { env = \"…\" }".to_owned();
    }
    if let [only] = path
        && let Some((section, key)) = only.split_once('_')
        && SECTIONS.contains(&section)
    {
        return format!("put two underscores after the section: {}", variable(section, key));
    }
    match nearest(first, &SECTIONS) {
        Some(section) if path.len() > 1 => {
            format!("did you mean {PREFIX}{}__…?", section.to_ascii_uppercase())
        }
        Some(_) | None => format!("unset it, or write {PREFIX}<SECTION>__<KEY>"),
    }
}

fn put(root: &mut Entries, path: &[&str], key: &str, raw_value: RawValue) {
    let mut entries = root;
    for name in path {
        let table = entries
            .entry((*name).to_owned())
            .or_insert_with(|| RawValue { key: (*name).to_owned(), raw: Raw::Table(Entries::new()) });
        // If the file has something else than a table here, the fault is reported when the section is read.
        let Raw::Table(below) = &mut table.raw else { return };
        entries = below;
    }
    entries.insert(key.to_owned(), raw_value);
}

/// Collects the variables that the file takes secrets from. They may have our prefix without setting a key.
fn collect_sources(raw_value: &RawValue, sources: &mut BTreeSet<String>) {
    match &raw_value.raw {
        Raw::Table(entries) => {
            if let Some(RawValue { raw: Raw::Plain(Value::String(name)), .. }) = entries.get("env") {
                sources.insert(name.clone());
            }
            entries.values().for_each(|raw_value| collect_sources(raw_value, sources));
        }
        Raw::List(items) => items.iter().for_each(|raw_value| collect_sources(raw_value, sources)),
        Raw::Plain(_) | Raw::Variable(_) => {}
    }
}

/// Returns true for variables that Kubernetes creates for each Service in the namespace, which can be called
/// `idaas-bridge` or `idaas-bridge-admin`: `…SERVICE_HOST`, `…SERVICE_PORT[_NAME]`, `…PORT`,
/// `…PORT_80_TCP[_ADDR|_PORT|_PROTO]`. The value of `…PORT` is a URL, so a port number there was meant for us.
fn is_service_link(rest: &str, value: &str) -> bool {
    let marked = |marks: &[&str]| marks.iter().any(|mark| rest == *mark || rest.starts_with(&format!("{mark}_")));
    let inner = |marks: &[&str]| {
        marks.iter().any(|mark| rest.ends_with(&format!("_{mark}")) || rest.contains(&format!("_{mark}_")))
    };
    let marks = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_port =
        (rest == "PORT" || rest.ends_with("_PORT")) && !rest.contains("SERVICE_PORT") && !inner(&["TCP", "UDP"]);
    !rest.contains("__") && (marked(&marks) || inner(&marks)) && !(is_port && is_number)
}
