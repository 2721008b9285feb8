//! `find`: searches for an event by its id or the id of its entity, on the topics, in the journal and in quarantine.

mod waiting;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value;

use super::journal::access;
use super::journal::{NO_LONGER_QUARANTINED, content};
use super::output::{Call, end, fix, next, note, print_error, print_error_with_fix, report, shell_word};
use super::tail::line;
use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::journal::QuarantineId;
use crate::kafka::admin::topics::TopicSettings;
use crate::kafka::history::scan::{Range, Scanned, scan};
use crate::kafka::history::tail::TopicRecord;
use crate::service::wiring;
use crate::terminal::stdout;
use idaas_callback::jose::jwe::ContentKey;

/// Maximum time for reading the topics.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

/// Find an event, or the events of an entity
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge find --config bridge.toml evnt_x\n  \
    idaas-bridge find --config bridge.toml user_x --since 30d\n\n\
    Looks in the journal, in quarantine and on all topics, and prints one line per record:\n\
    time of receipt, entity.action, the entity's id, eventId, topic/partition@offset,\n\
    and the names of the fields. Dead letters and callbacks in quarantine are also\n\
    searched for an entity's id, if a configured key decrypts them.\n\n\
    Exit code: 0 found, 1 not found in the places that could be searched,\n\
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

/// Where matches were found.
#[derive(Default)]
struct Locations {
    /// Name of an entry, as `application/id`.
    journal: Option<String>,
    /// Id of a quarantined callback.
    quarantine: Option<String>,
    /// Event id of a dead letter, and true if it contains the original.
    dead_letter: Option<(String, bool)>,
    /// What to do about an event that waits in the journal.
    fix: Option<String>,
    /// True if the journal and the quarantine were searched.
    searched: bool,
    records: u64,
}

impl Locations {
    const fn is_empty(&self) -> bool {
        self.journal.is_none() && self.quarantine.is_none() && self.records == 0
    }

    /// Returns the commands that show more about the matches.
    fn steps(&self, call: &Call<'_>) -> Vec<String> {
        let journal = self
            .journal
            .as_ref()
            .map(|id| format!("what is in the journal: {} show {}", call.of("journal"), shell_word(id)));
        let quarantine = self
            .quarantine
            .as_ref()
            .map(|id| format!("why it is in quarantine: {} --quarantine {id}", call.of("inspect")));
        let letter = self.dead_letter.as_ref().map(|(id, has_original)| {
            let (command, id) = (call.of("dead-letter"), shell_word(id));
            let redrive =
                if *has_original { format!("; to publish it again: {command} redrive {id}") } else { String::new() };
            format!("why it is a dead letter: {command} show {id}{redrive}")
        });
        [journal, quarantine, letter].into_iter().flatten().collect()
    }
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &FindArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    let mut locations = Locations::default();
    runtime.block_on(async {
        // If this fails, the topics can still be read.
        match access::open(&config).await {
            Err(fault) => drop(report(&fault.context("the journal was not searched"))),
            Ok(journal) => match waiting::search(&*journal, &config, arguments, &mut locations).await {
                Ok(()) => locations.searched = true,
                Err(why) => drop(print_error(format_args!("the journal was not searched: {why}"))),
            },
        }
    });
    let topics: Vec<_> = TopicSettings::of(&config).topics.into_iter().map(|topic| topic.name).collect();
    let since = SystemTime::now().checked_sub(arguments.since).unwrap_or(UNIX_EPOCH);
    let since =
        since.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let mut written = Ok(());
    let scanned = scan(&wiring::cluster(&config), &topics, Range::Since(since), READ_TIMEOUT, |seen| {
        if is_about(&seen, &arguments.id, &config.journal.keys) {
            locations.records += 1;
            if is_dead_letter(&seen) {
                let has_original = line::data(&seen).is_some_and(|data| data.get("original").is_some());
                locations.dead_letter = line::event_id(&seen).map(|id| (content::printable(&id), has_original));
            }
            let line = if arguments.json { line::json(&seen).to_string() } else { line::line(&seen, None) };
            written = writeln!(stdout(), "{line}");
        }
        written.is_ok()
    });
    if let Err(error) = written {
        return end(Err(error));
    }
    if !arguments.json {
        locations.fix.iter().cloned().for_each(fix);
        locations.steps(&Call::new(&arguments.config)).into_iter().for_each(next);
    }
    match scanned {
        Ok(scanned) => ended(&scanned, &locations, arguments),
        Err(fault) => {
            let failed = report(&Diagnosis::from(&fault));
            if failed == Exit::Misconfigured {
                return failed;
            }
            if !locations.is_empty() {
                return Exit::Success;
            }
            if locations.searched {
                note(format_args!("{} is not in the journal or the quarantine of this replica", arguments.id));
                published_or_discarded(&arguments.id);
            }
            failed
        }
    }
}

/// Prints which topics or partitions were not read, and what to do.
pub(super) fn unread(scanned: &Scanned, call: &Call<'_>) {
    if !scanned.missing.is_empty() {
        let topics = scanned.missing.join(", ");
        print_error_with_fix(
            format_args!("these topics do not exist, or this user may not see them: {topics}"),
            format!("create them with `{} --create`, or grant DESCRIBE and READ", call.of("topics")),
        );
    }
    if !scanned.complete {
        let remedy = format!("run this again when all brokers answer; {} names those that do not", call.of("check"));
        print_error_with_fix("not all partitions could be read", remedy);
    }
}

/// If the id has the form of a quarantined callback's, prints what can have happened to that callback.
fn published_or_discarded(id: &str) {
    if QuarantineId::parse(id).is_some() {
        next(NO_LONGER_QUARANTINED);
    }
}

/// Prints what could not be read, and an error if nothing was found.
fn ended(scanned: &Scanned, locations: &Locations, arguments: &FindArguments) -> Exit {
    unread(scanned, &Call::new(&arguments.config));
    if !locations.is_empty() {
        return Exit::Success;
    }
    let problem = format!(
        "{} is not in the journal, not in quarantine, and not among the {} of the last {}",
        arguments.id,
        counted(scanned.records, "record"),
        describe(arguments.since)
    );
    if QuarantineId::parse(&arguments.id).is_some() {
        let failed = print_error(problem);
        published_or_discarded(&arguments.id);
        return failed;
    }
    let remedy = "search a longer period (--since 30d), and the journals of the other replicas. If it is nowhere, \
        IDaaS has not delivered it, or the callback was refused (the service's log has the code): press Synchronize \
        in the IDaaS console";
    print_error_with_fix(problem, remedy)
}

/// A duration for a sentence.
fn describe(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let seconds = time.as_secs();
    let unit = UNITS.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    unit.map_or_else(|| humantime::format_duration(time).to_string(), |(length, name)| counted(seconds / length, name))
}

/// Returns true if a record is about an event or an entity with this id. The original of a dead letter is searched too,
/// because the key of a dead letter is the event id.
fn is_about(seen: &TopicRecord, id: &str, keys: &[Arc<ContentKey>]) -> bool {
    let event = line::event_id(seen);
    let event = event.as_deref().map(|event| event.strip_suffix(":credential").unwrap_or(event));
    event == Some(id)
        || seen.key.as_deref() == Some(id.as_bytes())
        || (is_dead_letter(seen) && original_contains(seen, id, keys))
}

fn is_dead_letter(seen: &TopicRecord) -> bool {
    seen.topic.ends_with(".dead-letter.v1")
}

fn original_contains(seen: &TopicRecord, id: &str, keys: &[Arc<ContentKey>]) -> bool {
    let Some(data) = line::data(seen) else { return false };
    let original = match data.get("original") {
        Some(Value::String(sealed)) => content::unsealed(sealed, keys).unwrap_or_default(),
        Some(original) => original.to_string(),
        None => String::new(),
    };
    contains_id(&original, id) || data.pointer("/origin/bizId").and_then(Value::as_str) == Some(id)
}

/// Returns true if the text contains the id, and not as a part of a longer one.
fn contains_id(text: &str, id: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let is_whole = |(start, found): (usize, &str)| {
        let (before, after) = (text.get(..start), text.get(start + found.len()..));
        let (before, after) =
            (before.unwrap_or_default().chars().next_back(), after.unwrap_or_default().chars().next());
        !is_part(before) && !is_part(after)
    };
    !id.is_empty() && text.match_indices(id).any(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_only_as_a_whole() {
        let text = r#"{"bizData":"{\"userId\":\"user_a\"}"}"#;
        assert!(contains_id(text, "user_a") && contains_id("user_a", "user_a"));
        assert!(!contains_id(text, "user_") && !contains_id(text, "ser_a") && !contains_id(text, ""));
    }

    #[test]
    fn a_time_is_in_words() {
        let shown = |seconds| describe(Duration::from_secs(seconds));
        assert_eq!(shown(7 * 86_400), "7 days");
        assert_eq!([shown(86_400), shown(5_400), shown(0)], ["1 day", "90 minutes", "0s"]);
    }
}
