//! `journal`: shows the journal and the quarantine, exports them, and redrives or discards entries and callbacks.
//!
//! Uses the running service, because only one process can open the files. Opens them itself if no service is running.

pub(in crate::cli) mod access;
pub(in crate::cli) mod content;
mod outcome;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::access::JournalAccess;
use super::output::{Call, end, fix_line, print_error, report};
use super::{Exit, print_faults, runtime};
use crate::clock;
use crate::config::Config;
use crate::http::journal::EntryKind;
use crate::journal::QuarantineId;
use crate::terminal::stdout;
pub(in crate::cli) use outcome::NO_LONGER_QUARANTINED;
pub(in crate::cli) use show::reason;

/// Maximum number of entries listed individually.
const SHOWN: usize = 20;

/// Show what waits in the journal and in quarantine
#[derive(Args)]
#[command(
    override_usage = "idaas-bridge journal --config <FILE> [--json] [COMMAND]",
    after_help = "Examples:\n  \
        idaas-bridge journal --config bridge.toml\n  \
        idaas-bridge journal --config bridge.toml --json | jq .waiting\n  \
        idaas-bridge journal --config bridge.toml show evnt_x\n  \
        idaas-bridge journal --config bridge.toml redrive evnt_x\n  \
        idaas-bridge journal --config bridge.toml export > journal.jsonl\n  \
        idaas-bridge journal --config bridge.toml discard evnt_x --yes\n\n\
        The journal holds the events that Kafka has not confirmed. They are published\n\
        automatically when Kafka accepts them. The quarantine holds callbacks that cannot\n\
        be decrypted or read. They are published once a matching key is configured and\n\
        the service is reloaded (SIGHUP) or restarted.\n\n\
        The command asks the service at server.admin_listen. If no service runs, it opens\n\
        journal.directory."
)]
pub struct JournalArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true, env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: Option<PathBuf>,
    /// Print JSON, with times in RFC 3339
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Show one entry, or one callback in quarantine
    ///
    /// Opens sealed content with journal.keys. Personal data is replaced by "•••" unless --reveal is given. Passwords
    /// are never shown.
    Show {
        /// Event id (or application/id), or id of a callback in quarantine
        #[arg(value_name = "ID")]
        id: String,
        /// Show personal data
        #[arg(long)]
        reveal: bool,
    },
    /// Print one JSON line per entry and per callback in quarantine: ids, topic, times, and the sealed content
    ///
    /// Content is printed only in encrypted form, as a compact JWE (dir, A256GCM) under the first of journal.keys.
    /// Nothing is removed.
    Export,
    /// Try to publish entries, or to open callbacks in quarantine, now
    ///
    /// Both happen automatically: entries are tried again within seconds, the quarantine after each reload and start.
    Redrive {
        /// Event ids (or application/id), or ids of callbacks in quarantine
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Remove one entry, or one callback in quarantine, without publishing it
    ///
    /// Consumers never see the event; later events of the same entity are published. Without --yes, shows what would be
    /// removed, and removes nothing.
    Discard {
        /// Event id (or application/id), or id of a callback in quarantine
        #[arg(value_name = "ID")]
        id: String,
        /// Remove it
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &JournalArguments) -> Exit {
    let Some(path) = &arguments.config else {
        print_error("--config FILE is missing: the configuration names the journal's directory");
        return Exit::Misconfigured;
    };
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    runtime.block_on(async {
        let journal = match access::open(&config).await {
            Ok(journal) => journal,
            Err(fault) => return report(&fault),
        };
        let journal = &*journal;
        let (json, call) = (arguments.json, Call::new(path));
        let done = match &arguments.action {
            None => overview(journal, json, &call).await,
            Some(Action::Export) => export(journal).await,
            Some(Action::Show { id, reveal }) => show(journal, &config, (id, *reveal, json), &call).await,
            Some(Action::Redrive { ids }) => redrive(journal, ids, json, &call).await,
            Some(Action::Discard { id, yes }) => discard(journal, (id, *yes, json), &call).await,
        };
        done.unwrap_or_else(print_error)
    })
}

async fn overview(journal: &dyn JournalAccess, json: bool, call: &Call<'_>) -> Result<Exit, String> {
    let summary = journal.summary(SHOWN).await?;
    let mut out = stdout();
    let written = if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary).unwrap_or_default())
    } else {
        show::summary(&summary, &journal.name(), clock::now(), call, &mut out)
    };
    Ok(end(written.map(|()| Exit::Success)))
}

async fn export(journal: &dyn JournalAccess) -> Result<Exit, String> {
    let mut from = Some(0);
    while let Some(position) = from {
        let (lines, next) = journal.export(position).await?;
        if let Err(error) = print(&lines) {
            return Ok(end(Err(error)));
        }
        from = next;
    }
    let mut from = Some(QuarantineId::FIRST);
    while let Some(name) = from {
        let (lines, next) = journal.export_quarantine(name).await?;
        if let Err(error) = print(&lines) {
            return Ok(end(Err(error)));
        }
        from = next;
    }
    Ok(Exit::Success)
}

fn print(lines: &str) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

async fn show(
    journal: &dyn JournalAccess,
    config: &Config,
    (id, reveal, json): (&str, bool, bool),
    call: &Call<'_>,
) -> Result<Exit, String> {
    let mut out = stdout();
    let written = match journal.line_by_id(id).await? {
        Ok(line) if json => {
            let line = if reveal { content::open_sealed(line, &config.journal.keys) } else { line };
            writeln!(out, "{}", serde_json::to_string_pretty(&line).unwrap_or_default()).map(|()| Exit::Success)
        }
        Ok(line) => {
            let in_quarantine = line.get("content").is_some();
            let known = line.pointer("/waiting/nextStep").and_then(serde_json::Value::as_str);
            let (label, step) = match known {
                _ if in_quarantine => (
                    "next",
                    format!("each processing step (shows personal data): {} --quarantine {id}", call.of("inspect")),
                ),
                Some(step) => ("fix", step.to_owned()),
                None if !journal.is_served() => {
                    ("next", format!("no service runs; it is published once one does: {}", call.of("serve")))
                }
                None => (
                    "next",
                    format!(
                        "it is with the producer, or waits behind an earlier event of its entity; why events wait: {}",
                        call.of("journal")
                    ),
                ),
            };
            content::show(&line, &config.journal.keys, reveal, &mut out)
                .and_then(|()| writeln!(out, "{}", fix_line(label, step)))
                .map(|()| Exit::Success)
        }
        Err(kind) => {
            writeln!(out, "{}", outcome::describe(&kind, id, false, clock::now(), call)).map(|()| Exit::Failed)
        }
    };
    Ok(end(written))
}

async fn redrive(journal: &dyn JournalAccess, ids: &[String], json: bool, call: &Call<'_>) -> Result<Exit, String> {
    let mut exit = Exit::Success;
    for id in ids {
        let kind = journal.redrive_by_id(id).await?;
        if !matches!(kind, EntryKind::Published { .. } | EntryKind::Retried(_) | EntryKind::TriedByItself(_)) {
            exit = Exit::Failed;
        }
        let line = if json {
            serde_json::json!({"id": id, "outcome": kind}).to_string()
        } else {
            outcome::redriven(&kind, id, clock::now(), call)
        };
        if let Err(error) = print(&format!("{line}\n")) {
            return Ok(end(Err(error)));
        }
    }
    Ok(exit)
}

async fn discard(
    journal: &dyn JournalAccess,
    (id, yes, json): (&str, bool, bool),
    call: &Call<'_>,
) -> Result<Exit, String> {
    let kind = if yes { journal.discard_by_id(id).await? } else { journal.find_by_id(id).await? };
    let exit = if matches!(kind, EntryKind::Entry(_) | EntryKind::Callback(_)) { Exit::Success } else { Exit::Failed };
    let mut out = stdout();
    let written: io::Result<()> = if json {
        let done = yes && exit == Exit::Success;
        let found = serde_json::json!({"discarded": done, "found": kind});
        writeln!(out, "{found}")
    } else {
        writeln!(out, "{}", outcome::describe(&kind, id, yes, clock::now(), call))
    };
    Ok(end(written.map(|()| exit)))
}
