//! `journal`: what waits for Kafka and what is in quarantine; its export; the removal of one thing.
//!
//! Asks the running service, which alone may have the files open; opens them itself where none runs.

mod show;
mod source;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::output::{complain, end, stdout};
use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::server::journal::Meant;
use source::Source;

/// How many entries are shown by themselves.
const SHOWN: usize = 20;

/// Show what waits in the journal and in quarantine
#[derive(Args)]
#[command(
    override_usage = "idaas-bridge journal --config <FILE> [--json] [export | discard <ID> --yes]",
    after_help = "Examples:\n  idaas-bridge journal --config bridge.toml\n  \
    idaas-bridge journal --config bridge.toml --json | jq .quarantine\n  \
    idaas-bridge journal --config bridge.toml export > journal.jsonl\n  \
    idaas-bridge journal --config bridge.toml discard evnt_x --yes\n\n\
    The journal has what Kafka has not confirmed; it is published by itself when Kafka is back. Quarantine has\n\
    callbacks that no decryption key opens, or that nobody can read; they are published once a key that fits is\n\
    configured and the service is reloaded (SIGHUP) or started again.\n\n\
    Asks the service at server.admin_listen; where none runs, journal.directory is opened."
)]
pub struct JournalArguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true, env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: Option<PathBuf>,
    /// One JSON object, for machines
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Print one JSON line per entry and per callback in quarantine: ids, topic, times, and the content sealed
    ///
    /// Nothing personal is in it in the clear: what an event says is a compact JWE (dir, A256GCM) under the first of
    /// journal.keys. Nothing is removed.
    Export,
    /// Remove one entry or one callback for good, unpublished
    ///
    /// The event is lost for the consumers; the next ones of the same entity go on. Without --yes it says what it would
    /// remove.
    Discard {
        /// An event's id (or application/id), or the id of a callback in quarantine
        #[arg(value_name = "ID")]
        id: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &JournalArguments) -> Exit {
    let Some(path) = &arguments.config else {
        complain("--config FILE is missing: the configuration says where the journal is");
        return Exit::Misconfigured;
    };
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    runtime.block_on(async {
        let source = match Source::find(&config).await {
            Ok(source) => source,
            Err(why) => return complain(why),
        };
        let done = match &arguments.action {
            None => overview(&source, arguments.json).await,
            Some(Action::Export) => export(&source).await,
            Some(Action::Discard { id, yes }) => discard(&source, id, *yes, arguments.json).await,
        };
        done.unwrap_or_else(complain)
    })
}

async fn overview(source: &Source, json: bool) -> Result<Exit, String> {
    let summary = source.summary(SHOWN).await?;
    let mut out = stdout();
    let written = if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary).unwrap_or_default())
    } else {
        show::summary(&summary, source.name(), now(), &mut out)
    };
    Ok(end(written.map(|()| Exit::Fine)))
}

async fn export(source: &Source) -> Result<Exit, String> {
    let mut from = Some(0);
    while let Some(place) = from {
        let (lines, next) = source.export(place).await?;
        let mut out = stdout();
        if let Err(error) = out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
            return Ok(end(Err(error)));
        }
        from = next;
    }
    Ok(Exit::Fine)
}

async fn discard(source: &Source, id: &str, yes: bool, json: bool) -> Result<Exit, String> {
    let meant = if yes { source.discard(id).await? } else { source.find_thing(id).await? };
    let exit = match meant {
        Meant::Event(_) | Meant::Callback(_) => Exit::Fine,
        Meant::InFlight(_) | Meant::Several(_) | Meant::Nothing => Exit::Failed,
    };
    let mut out = stdout();
    let written: io::Result<()> = if json {
        let done = yes && exit == Exit::Fine;
        let found = serde_json::json!({"discarded": done, "found": meant});
        writeln!(out, "{found}")
    } else {
        writeln!(out, "{}", show::meant(&meant, id, yes, now()))
    };
    Ok(end(written.map(|()| exit)))
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
