//! The section `[state]`. Present only if state topics are used.

use std::path::PathBuf;

use super::raw_value::RawValue;
use super::table_reader::{Diagnostics, TableReader};
use super::{Server, State, files, values};
use crate::diagnosis::{Diagnosis, misconfigured};

/// Maximum length of a group id. Group coordinators store it in each of their records.
const MAX_GROUP_ID: usize = 200;

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>, server: &Server) -> Option<State> {
    let raw_value = raw_value?;
    let mut section = TableReader::open(diagnostics, "state", Some(raw_value));
    let files = section.diagnostics.files;
    let state = State {
        group_id: section.value("group_id", "idaas-bridge-state".to_owned(), group_id),
        directory: section.value("directory", PathBuf::from("/var/lib/idaas-bridge/state"), |raw_value| {
            raw_value.text().map(|text| files::resolve(files, text))
        }),
        admin_listen: section.value("admin_listen", server.admin_listen, values::socket),
    };
    section.close();
    Some(state)
}

fn group_id(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    if text.len() > MAX_GROUP_ID || !text.chars().all(|c| c.is_ascii_graphic()) {
        let remedy = "use at most 200 letters, digits and symbols, without spaces";
        return Err(misconfigured(format!("{text:?} is not a usable consumer group"), remedy));
    }
    Ok(text.to_owned())
}
