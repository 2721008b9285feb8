//! Walking a table key by key. Every fault is collected and the walk continues; keys that were not read are unknown.

use super::SecretFile;
use super::files::ConfigFiles;
use super::raw_value::{Entries, Raw, RawValue, join};
use crate::diagnosis::{Diagnosis, Remedy, misconfigured};

/// The results of reading so far, and the source of files.
pub(super) struct Diagnostics<'a> {
    pub(super) files: &'a ConfigFiles<'a>,
    pub(super) faults: Vec<Diagnosis>,
    pub(super) warnings: Vec<Diagnosis>,
    pub(super) secret_files: Vec<SecretFile>,
}

impl<'a> Diagnostics<'a> {
    pub(super) const fn new(files: &'a ConfigFiles<'a>) -> Self {
        Self { files, faults: Vec::new(), warnings: Vec::new(), secret_files: Vec::new() }
    }

    pub(super) fn fault(&mut self, key: impl Into<String>, problem: impl Into<String>, remedy: impl Into<Remedy>) {
        self.faults.push(misconfigured(problem, remedy).at(key));
    }

    /// Adds a warning about a valid setting that is probably unintended.
    pub(super) fn warn(&mut self, key: impl Into<String>, problem: impl Into<String>, remedy: impl Into<Remedy>) {
        self.warnings.push(misconfigured(problem, remedy).at(key));
    }

    /// Returns the value, or records its fault under `key`.
    pub(super) fn accept<T>(&mut self, key: &str, result: Result<T, Diagnosis>) -> Option<T> {
        result.map_err(|problem| self.faults.push(problem.at(key))).ok()
    }
}

/// A table while it is being read.
pub(super) struct TableReader<'r, 'a> {
    pub(super) diagnostics: &'r mut Diagnostics<'a>,
    path: String,
    entries: Entries,
    known: Vec<&'static str>,
}

impl<'r, 'a> TableReader<'r, 'a> {
    /// Opens a table. A missing table counts as empty; any other value is a fault.
    pub(super) fn open(diagnostics: &'r mut Diagnostics<'a>, path: &str, raw_value: Option<RawValue>) -> Self {
        let entries = raw_value.and_then(|raw_value| {
            let key = raw_value.key.clone();
            diagnostics.accept(&key, raw_value.table())
        });
        Self { diagnostics, path: path.to_owned(), entries: entries.unwrap_or_default(), known: Vec::new() }
    }

    /// Returns the full name of a key, for faults and warnings.
    pub(super) fn name(&self, key: &str) -> String {
        self.entries.get(key).map_or_else(|| join(&self.path, key), |raw_value| raw_value.key.clone())
    }

    /// Removes a key's value, and makes the key a known one.
    pub(super) fn take(&mut self, key: &'static str) -> Option<RawValue> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// Returns a key's value, or `default` if it is missing or invalid.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&RawValue) -> Result<T, Diagnosis>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// Returns a key's value, or `None` if it is missing or invalid.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&RawValue) -> Result<T, Diagnosis>,
    ) -> Option<T> {
        let raw_value = self.take(key)?;
        self.diagnostics.accept(&raw_value.key, read(&raw_value))
    }

    /// Returns a key's value. If it is missing, records a fault with this remedy.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl FnOnce(&RawValue) -> Result<T, Diagnosis>,
    ) -> Option<T> {
        if !self.entries.contains_key(key) {
            self.known.push(key);
            let name = self.name(key);
            self.diagnostics.fault(name, "is missing", remedy);
            return None;
        }
        self.optional(key, read)
    }

    /// Returns the valid items of a list, and records a fault for each invalid one. `None` if the key is missing.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Diagnostics<'a>, &RawValue) -> Result<T, Diagnosis>,
    ) -> Option<Vec<T>> {
        let raw_value = self.take(key)?;
        let key = raw_value.key.clone();
        let items = self.diagnostics.accept(&key, raw_value.list()).unwrap_or_default();
        let mut values = Vec::with_capacity(items.len());
        for item in &items {
            let result = read(self.diagnostics, item);
            values.extend(self.diagnostics.accept(&item.key, result));
        }
        Some(values)
    }

    /// Reports the keys that were not read.
    pub(super) fn close(self) {
        for (key, raw_value) in &self.entries {
            let remedy = match nearest(key, &self.known) {
                Some(known) if matches!(raw_value.raw, Raw::Variable(_)) => {
                    format!("did you mean {}?", super::environment::variable(&self.path, known))
                }
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("remove it; known keys: {}", self.known.join(", ")),
            };
            self.diagnostics.fault(&raw_value.key, "is not a known key", remedy);
        }
    }
}

/// Returns the known name most similar to a mistyped one, if any is similar enough.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}
