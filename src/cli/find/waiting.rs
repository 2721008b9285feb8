//! The search of `find` outside the topics: events in the journal, and callbacks in quarantine.

use std::io::Write;

use serde_json::{Value, json};

use super::{FindArguments, Locations, contains_id};
use crate::cli::journal::access::JournalAccess;
use crate::cli::journal::{content, reason};
use crate::cli::output::note;
use crate::config::Config;
use crate::counts::counted;
use crate::journal::QuarantineId;
use crate::terminal::{QUIET, WARNING, stdout, styled};
use idaas_callback::jose::jwe::Sealed;
use idaas_callback::timestamp::rfc3339;

/// Prints the matches and records them in `locations`.
pub(super) async fn search(
    journal: &dyn JournalAccess,
    config: &Config,
    arguments: &FindArguments,
    locations: &mut Locations,
) -> Result<(), String> {
    for waiting in journal.entries_about(&arguments.id).await? {
        let id = content::printable(&waiting.event_id);
        let shown = if arguments.json {
            json!({"place": "journal", "found": waiting}).to_string()
        } else {
            let time = rfc3339(waiting.received_at).unwrap_or_else(|| "-".to_owned());
            let (time, location) = (styled(QUIET, time), styled(WARNING, "in the journal"));
            let why = waiting.waiting.as_ref().map_or_else(String::new, |state| format!("  {}", reason(state)));
            format!("{time}  {location}  {}  {id}  {}{why}", waiting.application, waiting.topic)
        };
        if locations.fix.is_none() {
            locations.fix = waiting.waiting.map(|state| state.next_step);
        }
        locations.journal = Some(format!("{}/{id}", waiting.application));
        write(&shown)?;
    }
    quarantine(config, journal, arguments, locations).await
}

/// Goes through the quarantine. Prints how many callbacks no configured key opens, because they cannot be searched.
async fn quarantine(
    config: &Config,
    journal: &dyn JournalAccess,
    arguments: &FindArguments,
    locations: &mut Locations,
) -> Result<(), String> {
    let mut from = Some(QuarantineId::FIRST);
    let mut closed = 0;
    while let Some(name) = from {
        let (lines, next) = journal.export_quarantine(name).await?;
        for line in lines.lines() {
            let Ok(mut line) = serde_json::from_str::<Value>(line) else { continue };
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (id, application, received) = (text("id"), text("application"), text("receivedAt"));
            let opened = open_sealed(config, &application, &text("content"));
            closed += u64::from(opened.is_none());
            if id != arguments.id && !opened.is_some_and(|text| contains_id(&text, &arguments.id)) {
                continue;
            }
            if let Some(members) = line.as_object_mut() {
                members.remove("content");
            }
            let shown = if arguments.json {
                json!({"place": "quarantine", "found": line}).to_string()
            } else {
                let (time, location) = (styled(QUIET, received), styled(WARNING, "in the quarantine"));
                format!("{time}  {location}  {application}  {id}")
            };
            locations.quarantine = Some(id);
            write(&shown)?;
        }
        from = next;
    }
    if closed > 0 && locations.quarantine.is_none() {
        let them = if closed == 1 { "it" } else { "them" };
        let closed = counted(closed, "callback");
        note(format_args!("{closed} in quarantine cannot be searched, because no configured key decrypts {them}"));
    }
    Ok(())
}

/// Returns the content of a quarantined callback. `None` if no configured key opens it.
fn open_sealed(config: &Config, application: &str, sealed: &str) -> Option<String> {
    let content = content::unsealed(sealed, &config.journal.keys)?;
    if Sealed::parse(content.clone()).is_none() {
        return Some(content);
    }
    let application = config.applications.iter().find(|known| known.name == application)?;
    content::unsealed(&content, &application.decryption_keys)
}

fn write(line: &str) -> Result<(), String> {
    writeln!(stdout(), "{line}").map_err(|error| error.kind().to_string())
}
