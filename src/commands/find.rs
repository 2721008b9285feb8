//! `find`: where an event is, by its id or that of its entity: on a topic, in the journal, in quarantine, or nowhere.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::journal::source::Source;
use super::output::{QUIET, WARNING, complain, end, stdout, styled};
use super::tail::line;
use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::kafka::consumer::{FollowFault, Seen};
use crate::kafka::scan::{Range, Scanned, scan};
use crate::kafka::topics::Plan;
use crate::service::assemble;

/// How long the topics are read at most.
const LIMIT: Duration = Duration::from_secs(600);

/// Find an event, or the events of an entity
#[derive(Args)]
#[command(after_help = "Examples:\n  idaas-bridge find --config bridge.toml evnt_x\n  \
    idaas-bridge find --config bridge.toml user_x --since 30d\n\n\
    Looks in the journal, in quarantine and on all topics, and prints one line per record:\n\
    time of acceptance, entity.action, the entity's id, eventId, topic/partition@offset,\n\
    and the names of the fields. The journal is searched by event ids only.\n\n\
    Exit code: 0 found, 1 unknown (not found where it could be looked for),\n\
    2 the configuration is wrong.")]
pub struct FindArguments {
    /// Event id, or id of a user, organizational unit or group
    #[arg(value_name = "ID")]
    id: String,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// How far back to read the topics
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// Print one JSON object per record, with the whole value (personal data included)
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &FindArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    let in_journal = match runtime.block_on(in_journal(&config, arguments)) {
        Ok(found) => found,
        Err(why) => {
            // The topics can still be read.
            complain(format_args!("the journal was not searched: {why}"));
            false
        }
    };
    let topics: Vec<_> = Plan::of(&config).topics.into_iter().map(|topic| topic.name).collect();
    let since = SystemTime::now().checked_sub(arguments.since).unwrap_or(UNIX_EPOCH);
    let since =
        since.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let (mut found, mut written) = (0_u64, Ok(()));
    let scanned = scan(&assemble::cluster(&config), &topics, Range::Since(since), LIMIT, |seen| {
        if is_about(&seen, &arguments.id) {
            found += 1;
            let line = if arguments.json { line::json(&seen).to_string() } else { line::line(&seen, None) };
            written = writeln!(stdout(), "{line}");
        }
        written.is_ok()
    });
    if let Err(error) = written {
        return end(Err(error));
    }
    let found = found > 0 || in_journal;
    match scanned {
        Ok(scanned) => ended(&scanned, found, arguments),
        Err(FollowFault::Settings(words)) => print_faults(&[assemble::kafka_fault(&words)]),
        Err(FollowFault::Away(away)) => {
            let failed = complain(format_args!("the topics cannot be read: {away}"));
            if found { Exit::Fine } else { failed }
        }
    }
}

/// Prints what could not be read, and that the event was not found.
fn ended(scanned: &Scanned, found: bool, arguments: &FindArguments) -> Exit {
    for topic in &scanned.missing {
        complain(format_args!("the topic {topic} does not exist, or cannot be seen"));
    }
    if !scanned.complete {
        complain("not all partitions could be read");
    }
    if found {
        return Exit::Fine;
    }
    complain(format_args!(
        "{} is not in the journal, not in quarantine, and not among the {} of the last {}",
        arguments.id,
        counted(scanned.records, "record"),
        in_words(arguments.since)
    ))
}

/// A count with its noun.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A time as a sentence has it.
fn in_words(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let seconds = time.as_secs();
    let unit = UNITS.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    unit.map_or_else(|| humantime::format_duration(time).to_string(), |(length, name)| counted(seconds / length, name))
}

/// Whether the journal or the quarantine has it; says so.
async fn in_journal(config: &Config, arguments: &FindArguments) -> Result<bool, String> {
    let source = Source::find(config).await?;
    let Ok(line) = source.line(&arguments.id).await? else { return Ok(false) };
    let text = |name: &str| line.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
    let (place, time) = if line.get("content").is_some() {
        ("quarantine", text("receivedAt"))
    } else {
        ("journal", text("acceptedAt"))
    };
    let shown = if arguments.json {
        json!({"place": place, "found": line}).to_string()
    } else {
        let place = styled(WARNING, format!("in the {place}"));
        format!("{}  {place}  {}  {}", styled(QUIET, time), text("application"), arguments.id)
    };
    writeln!(stdout(), "{shown}").map_err(|error| error.kind().to_string())?;
    Ok(true)
}

/// Whether a record is about an event or an entity of this id.
fn is_about(seen: &Seen, id: &str) -> bool {
    let event = line::event_id(seen);
    let event = event.as_deref().map(|event| event.strip_suffix(":credential").unwrap_or(event));
    event == Some(id) || seen.key.as_deref() == Some(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(7 * 86_400), "7 days");
        assert_eq!([words(86_400), words(5_400), words(0)], ["1 day", "90 minutes", "0s"]);
    }
}
