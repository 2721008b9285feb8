//! Turns text, variables and files into a [`Config`], or into all of its faults. Pure.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use toml::de::DeTable;

use super::environment::{self, SECTIONS};
use super::files::ConfigFiles;
use super::raw_value::{Entries, RawValue};
use super::table_reader::{Diagnostics, nearest};
use super::{Config, NamedFile, application, dedupe, kafka, server, state, storage, topics, tracing};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::text;

/// The inputs of a configuration besides its own text.
pub struct Sources<'a> {
    /// Start of relative paths: the configuration file's directory.
    pub directory: &'a Path,
    /// The environment: overrides (`IDAAS_BRIDGE_…`), and variables that `{ env = "…" }` names.
    pub variables: BTreeMap<String, String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl Config {
    /// Parses a configuration. Variables can override every key outside `[[application]]`.
    ///
    /// # Errors
    /// All faults, in the order of the sections. If the text is not valid TOML, only the syntax errors.
    pub fn parse(text: &str, sources: &Sources<'_>) -> Result<Self, Vec<Diagnosis>> {
        Self::parse_with_files(text, sources).0
    }

    /// Like [`Config::parse`]. Also returns the files that were named, even if there are faults.
    pub(super) fn parse_with_files(
        text: &str,
        sources: &Sources<'_>,
    ) -> (Result<Self, Vec<Diagnosis>>, Vec<NamedFile>) {
        let files = ConfigFiles::new(sources);
        let mut parsed = Self::parse_from(text, &files);
        let files = files.into_named();
        if let Ok(config) = &mut parsed {
            config.files.clone_from(&files);
        }
        (parsed, files)
    }

    fn parse_from(text: &str, files: &ConfigFiles<'_>) -> Result<Self, Vec<Diagnosis>> {
        let text = text::plain(text.as_bytes());
        // Lossless: the text was UTF-8, and only ASCII characters have been removed.
        let text = String::from_utf8_lossy(&text);
        let mut root = document(&text)?;
        let mut diagnostics = Diagnostics::new(files);
        environment::overlay(&mut diagnostics, &mut root);
        unknown_sections(&mut diagnostics, &mut root);
        let (server, admin_token) = server::read(&mut diagnostics, root.remove("server"));
        let kafka = kafka::read(&mut diagnostics, root.remove("kafka"), server.response_deadline);
        let topics = topics::read(&mut diagnostics, root.remove("topics"));
        let journal = storage::journal(&mut diagnostics, root.remove("journal"));
        let dedupe = dedupe::read(&mut diagnostics, root.remove("dedupe"));
        let state = state::read(&mut diagnostics, root.remove("state"), &server);
        let log = storage::log(&mut diagnostics, root.remove("log"));
        let tracing = tracing::read(&mut diagnostics, root.remove("tracing"));
        let applications = application::read_all(&mut diagnostics, root.remove("application"), journal.as_ref());
        let Diagnostics { faults, warnings, secret_files, .. } = diagnostics;
        match (kafka, journal) {
            (Some(kafka), Some(journal)) if faults.is_empty() => {
                let files = Vec::new();
                Ok(Self {
                    server,
                    admin_token,
                    kafka,
                    topics,
                    journal,
                    dedupe,
                    state,
                    log,
                    tracing,
                    applications,
                    warnings,
                    files,
                    secret_files,
                })
            }
            (None | Some(_), None | Some(_)) => Err(faults),
        }
    }
}

/// Parses the TOML document. Uses only the message and position of a syntax error: the library's own rendering quotes
/// the line, which can contain a secret.
fn document(text: &str) -> Result<Entries, Vec<Diagnosis>> {
    let (_, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax_fault(text, error)).collect());
    }
    let table: toml::Table = toml::from_str(text).map_err(|error| vec![syntax_fault(text, &error)])?;
    Ok(table.into_iter().map(|(name, value)| (name.clone(), RawValue::from_file(name, value))).collect())
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Diagnosis {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let remedy = "correct this line; the rest is checked once the file can be read";
    misconfigured(format!("is not valid TOML ({})", error.message()), remedy)
        .at(format!("line {line}, column {column}"))
}

fn unknown_sections(diagnostics: &mut Diagnostics<'_>, root: &mut Entries) {
    let known: Vec<_> = SECTIONS.into_iter().chain(["application"]).collect();
    for (name, raw_value) in root.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let remedy = nearest(name, &known).map_or_else(
            || format!("put it under one of the sections {} or [[application]]", list_sections()),
            |section| format!("did you mean \"{section}\"?"),
        );
        diagnostics.fault(&raw_value.key, "is not a known section", remedy);
    }
}

fn list_sections() -> String {
    SECTIONS.map(|section| format!("[{section}]")).join(", ")
}
