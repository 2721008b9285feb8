//! The sections `[journal]` and `[log]`.

use std::path::PathBuf;

use super::raw_value::RawValue;
use super::secrets::{self, KeyLength};
use super::table_reader::{Diagnostics, TableReader};
use super::{Journal, Log, LogFormat, LogLevel, files, values};
use crate::diagnosis::misconfigured;

const MIN_JOURNAL_SIZE: u64 = 16 << 20;

pub(super) fn journal(reading: &mut Diagnostics<'_>, given: Option<RawValue>) -> Option<Journal> {
    let mut section = TableReader::open(reading, "journal", given);
    let around = section.reading.around;
    let directory = section.value("directory", PathBuf::from("/var/lib/idaas-bridge"), |given| {
        given.text().map(|text| files::resolve(around, text))
    });
    let max_size = section.value("max_size", 1 << 30, |given| {
        let size = values::bytes(given)?;
        if size < MIN_JOURNAL_SIZE {
            let problem = format!("{size} bytes are too few to carry anything over an outage");
            return Err(misconfigured(problem, "set it to \"16MiB\" or more"));
        }
        Ok(size)
    });
    let name = section.name("keys");
    let before = section.reading.faults.len();
    let keys = section.list("keys", |reading, item| secrets::key(reading, item, KeyLength::Longest));
    let remedy = "name a key that this service alone has: [{ file = \"journal.key\" }], made by: openssl rand -hex 32 > journal.key";
    match &keys {
        None => section.reading.fault(name, "is missing", remedy),
        Some(keys) if keys.is_empty() && section.reading.faults.len() == before => {
            section.reading.fault(name, "is empty", remedy);
        }
        Some(_) => {}
    }
    section.close();
    keys.filter(|keys| !keys.is_empty()).map(|keys| Journal { directory, max_size, keys })
}

pub(super) fn log(reading: &mut Diagnostics<'_>, given: Option<RawValue>) -> Log {
    let mut section = TableReader::open(reading, "log", given);
    let log = Log {
        format: section.value("format", LogFormat::Json, values::choice),
        level: section.value("level", LogLevel::Info, values::choice),
        events: section.value("events", false, RawValue::boolean),
    };
    section.close();
    log
}
