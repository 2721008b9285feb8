//! The sections `[journal]` and `[log]`.

use std::path::PathBuf;

use super::raw_value::RawValue;
use super::secrets::{self, KeyLength};
use super::table_reader::{Diagnostics, TableReader};
use super::{Journal, Log, LogFormat, LogLevel, files, values};
use crate::diagnosis::misconfigured;

const MIN_JOURNAL_SIZE: u64 = 16 << 20;

pub(super) fn journal(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> Option<Journal> {
    let mut section = TableReader::open(diagnostics, "journal", raw_value);
    let files = section.diagnostics.files;
    let directory = section.value("directory", PathBuf::from("/var/lib/idaas-bridge"), |raw_value| {
        raw_value.text().map(|text| files::resolve(files, text))
    });
    let max_size = section.value("max_size", 1 << 30, |raw_value| {
        let size = values::bytes(raw_value)?;
        if size < MIN_JOURNAL_SIZE {
            let problem = format!("{size} bytes are too few to bridge an outage");
            return Err(misconfigured(problem, "set it to \"16MiB\" or more"));
        }
        Ok(size)
    });
    let name = section.name("keys");
    let before = section.diagnostics.faults.len();
    let keys = section.list("keys", |diagnostics, item| secrets::key(diagnostics, item, KeyLength::Aes256));
    let remedy = "name a key that only this service has: [{ file = \"journal.key\" }], created with: openssl rand \
        -hex 32 > journal.key";
    match &keys {
        None => section.diagnostics.fault(name, "is missing", remedy),
        Some(keys) if keys.is_empty() && section.diagnostics.faults.len() == before => {
            section.diagnostics.fault(name, "is empty", remedy);
        }
        Some(_) => {}
    }
    section.close();
    keys.filter(|keys| !keys.is_empty()).map(|keys| Journal { directory, max_size, keys })
}

pub(super) fn log(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> Log {
    let mut section = TableReader::open(diagnostics, "log", raw_value);
    let log = Log {
        format: section.value("format", LogFormat::Json, values::choice),
        level: section.value("level", LogLevel::Info, values::choice),
        events: section.value("events", false, RawValue::boolean),
    };
    section.close();
    log
}
