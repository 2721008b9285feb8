//! `dead-letter`: lists dead letters, shows one with its original, and redrives them.

mod redrive;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use idaas_callback::event_type::Entity;
use idaas_callback::timestamp::rfc3339;
use serde_json::Value;

use super::find::unread;
use super::journal::content;
use super::output::{Call, end, next, print_error, print_error_with_fix, report, shell_word};
use super::tail::line;
use super::{Exit, print_faults};
use crate::clock::now;
use crate::config::Config;
use crate::counts::{age, grouped};
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::topics::TopicSettings;
use crate::kafka::history::scan::{Range, Scanned, scan};
use crate::kafka::history::tail::TopicRecord;
use crate::service::wiring;
use crate::terminal::{BAD, HEADING, PLAIN, QUIET, Style, columns, cut, entry, stdout, styled};

/// Maximum time for reading the topics.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of the newest records per partition that are searched for an id.
const MAX_SEARCHED: u32 = 100_000;

/// Show events that became dead letters, and publish them again
#[derive(Args)]
#[command(after_help = "Examples:\n  idaas-bridge dead-letter --config bridge.toml list\n  \
    idaas-bridge dead-letter --config bridge.toml list --json | jq .value.reason\n  \
    idaas-bridge dead-letter --config bridge.toml show evnt_x --reveal\n  \
    idaas-bridge dead-letter --config bridge.toml redrive evnt_x")]
pub struct DeadLetterArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true, env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: Option<PathBuf>,
    /// Print JSON, one object per record, with the whole value (personal data included)
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the newest dead letters: time, reason, event id, topic/partition@offset
    List {
        /// Number of dead letters to list
        #[arg(long, value_name = "N", default_value_t = 50)]
        count: u32,
    },
    /// Show one dead letter with its original
    ///
    /// A sealed original is opened with journal.keys. Personal data is replaced by "•••" unless --reveal is given.
    /// Passwords are never shown.
    Show {
        /// Event id
        #[arg(value_name = "ID")]
        id: String,
        /// Show personal data
        #[arg(long)]
        reveal: bool,
    },
    /// Publish the events of dead letters again, after the cause has been fixed
    ///
    /// The running service at server.admin_listen publishes them. An event takes the same path as when it arrived,
    /// through decoding, lanes and journal, and keeps its ids and times. Consumers can see it after newer events of the
    /// same entity; its ce_time shows its age. It has no password, because dead letters contain none. An event that
    /// still fits no record is not published, and no second dead letter is created.
    Redrive {
        /// Event ids (or application/id)
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &DeadLetterArguments) -> Exit {
    let Some(path) = &arguments.config else {
        print_error("--config FILE is missing: the configuration names the brokers and the topics");
        return Exit::Misconfigured;
    };
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    match &arguments.action {
        Action::List { count } => list(&config, *count, arguments.json, &Call::new(path)),
        Action::Show { id, reveal } => show(&config, id, (*reveal, arguments.json), &Call::new(path)),
        Action::Redrive { ids } => redrive::redrive(&config, path, ids, arguments.json),
    }
}

fn list(config: &Config, count: u32, json: bool, call: &Call<'_>) -> Exit {
    let mut letters = Vec::new();
    let scanned = match read(config, count, |seen| letters.push(seen)) {
        Ok(scanned) => scanned,
        Err(exit) => return exit,
    };
    letters.sort_by_key(|seen| std::cmp::Reverse((seen.timestamp, seen.partition, seen.offset)));
    letters.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    let (mut out, width) = (stdout(), columns());
    for seen in &letters {
        let line = match width {
            _ if json => line::json(seen).to_string(),
            Some(width) => cut(&compact(seen), width),
            None => summary(seen),
        };
        if let Err(error) = writeln!(out, "{line}") {
            return end(Err(error));
        }
    }
    if letters.is_empty() && !json && scanned.complete && scanned.missing.is_empty() {
        let _ = writeln!(out, "There are no dead letters.");
    }
    if !letters.is_empty() && !json {
        next(format!("one of them: {} show ID", call.of("dead-letter")));
    }
    finished(&scanned, call)
}

fn show(config: &Config, id: &str, (reveal, json): (bool, bool), call: &Call<'_>) -> Exit {
    let mut newest: Option<TopicRecord> = None;
    let scanned = read(config, MAX_SEARCHED, |seen| {
        let is_newer = newest.as_ref().is_none_or(|known| known.timestamp <= seen.timestamp);
        if is_newer && line::event_id(&seen).as_deref() == Some(id) {
            newest = Some(seen);
        }
    });
    let scanned = match scanned {
        Ok(scanned) => scanned,
        Err(exit) => return exit,
    };
    let Some(seen) = newest else {
        let most = grouped(u64::from(MAX_SEARCHED));
        unread(&scanned, call);
        return print_error_with_fix(
            format_args!("{id} is not among the newest {most} dead letters of each partition"),
            format!("look for it elsewhere: {} {}", call.of("find"), shell_word(id)),
        );
    };
    let mut out = stdout();
    let written = if json {
        writeln!(out, "{}", line::json(&seen))
    } else {
        writeln!(out, "{}", summary(&seen)).and_then(|()| {
            let data = line::data(&seen).unwrap_or_default();
            for (name, value) in data.as_object().into_iter().flatten() {
                let shown = content::member(name, value, &config.journal.keys, reveal);
                writeln!(out, "{}", entry(HEADING, name, 16, shown))?;
            }
            if reveal {
                return Ok(());
            }
            writeln!(out, "{}", styled(QUIET, content::HIDDEN))
        })
    };
    if !json {
        let data = line::data(&seen).unwrap_or_default();
        let reason = data.get("reason").and_then(Value::as_str).unwrap_or_default();
        next(next_step(reason, data.get("original").is_some(), id, call));
    }
    end(written.map(|()| finished(&scanned, call)))
}

/// Returns what to do about a dead letter. Without its original, only IDaaS has the event.
fn next_step(reason: &str, has_original: bool, id: &str, call: &Call<'_>) -> String {
    let redrive = format!("{} redrive {}", call.of("dead-letter"), shell_word(id));
    if !has_original {
        return "raise the limits (docs/kafka.md), then press Synchronize in the IDaaS console".to_owned();
    }
    match reason {
        "record_too_large" | "refused_by_broker" => {
            format!(
                "raise the limits (docs/kafka.md) or fix what else makes the broker reject it, then publish it again: \
                {redrive}"
            )
        }
        // The sender has caused it, so only another version can read the event.
        _ => format!("install a version that can read it, then publish it again: {redrive}"),
    }
}

/// Formats a dead letter as one line.
fn summary(seen: &TopicRecord) -> String {
    let data = line::data(seen).unwrap_or_default();
    let reason = data.get("reason").and_then(Value::as_str).unwrap_or("-").to_owned();
    let kind = data.pointer("/origin/eventType").and_then(Value::as_str).unwrap_or("-").to_owned();
    let time = seen.timestamp.and_then(rfc3339).unwrap_or_else(|| "-".to_owned());
    let position = format!("{}/{}@{}", seen.topic, seen.partition, seen.offset);
    let id = line::event_id(seen).unwrap_or_else(|| "-".to_owned());
    let (time, position, reason) = (styled(QUIET, time), styled(QUIET, position), styled(BAD, format!("{reason:<18}")));
    format!("{time}  {reason}  {}  {}  {position}", content::printable(&id), content::printable(&kind))
}

/// Returns the parts of a line that fits a terminal, the most useful first.
fn compact(seen: &TopicRecord) -> Vec<(Style, String)> {
    /// Common prefix of all event types of IDaaS.
    const TYPE: &str = "urn:alibaba:idaas:app:event:";
    let data = line::data(seen).unwrap_or_default();
    let reason = data.get("reason").and_then(Value::as_str).unwrap_or("-").to_owned();
    let kind = data.pointer("/origin/eventType").and_then(Value::as_str).unwrap_or("-").to_owned();
    let kind = kind.strip_prefix(TYPE).unwrap_or(&kind);
    let age = seen.timestamp.map_or_else(|| "-".to_owned(), |at| age(at, now()));
    let id = line::event_id(seen).unwrap_or_else(|| "-".to_owned());
    vec![
        (QUIET, format!("{age:>6}")),
        (BAD, format!("{:<17}", content::printable(&reason))),
        (PLAIN, content::printable(&id)),
        (PLAIN, content::printable(kind)),
        (QUIET, format!("{}@{}", seen.partition, seen.offset)),
    ]
}

fn read(config: &Config, newest: u32, mut each: impl FnMut(TopicRecord)) -> Result<Scanned, Exit> {
    let topics = TopicSettings::of(config).topics.into_iter().filter(|topic| topic.entity == Entity::DeadLetter);
    let topics: Vec<_> = topics.map(|topic| topic.name).collect();
    let scanned = scan(&wiring::cluster(config), &topics, Range::Newest(newest), READ_TIMEOUT, |seen| {
        each(seen);
        true
    });
    scanned.map_err(|fault| report(&Diagnosis::from(&fault)))
}

/// Prints what could not be read, and returns the exit code.
fn finished(scanned: &Scanned, call: &Call<'_>) -> Exit {
    unread(scanned, call);
    if scanned.complete && scanned.missing.is_empty() { Exit::Success } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_one_that_can_work() {
        let step = |reason, has_original| next_step(reason, has_original, "evnt_x", &Call { config: None });
        assert!(!step("record_too_large", false).contains("redrive"));
        assert!(step("record_too_large", false).contains("press Synchronize"));
        assert!(step("refused_by_broker", true).contains("raise the limits"));
        for reason in ["malformed_data", "missing_entity_id", "a_new_reason"] {
            let step = step(reason, true);
            assert!(step.starts_with("install a version") && step.contains("redrive evnt_x"), "{step}");
        }
    }
}
