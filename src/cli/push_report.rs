//! `push-report`: reports what each full push contained, as far as the topics show. Deletes and publishes nothing.

mod runs;
mod show;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use self::runs::Folder;
use super::output::{Call, end, note, print_error_with_fix, report};
use super::tail::absent;
use super::{Exit, print_faults};
use crate::config::Config;
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::topics::state_topics::state_pairs;
use crate::kafka::history::scan::{Range, Scanned, scan};
use crate::service::wiring;
use crate::terminal::stdout;

/// Maximum time for reading the topics.
const READ_TIMEOUT: Duration = Duration::from_secs(3600);

/// Report the full pushes on the topics: what was new, changed, unchanged and not mentioned
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge push-report --config bridge.toml --last\n  \
    idaas-bridge push-report --config bridge.toml --since 7d --list\n\n\
    A full push has no start or end marker: it is a series of snapshot records of one application, and ends when \
    none arrives for longer than --gap. An entity that a push does not mention is not deleted, because a push can \
    cover a part of the directory. An entity is new if the topics have no earlier event of it.\n\n\
    Exit code: 0 full pushes are reported, 1 there is none, or the topics cannot be read,\n\
    2 the configuration is wrong.")]
pub struct PushReportArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Report only pushes that started since this time: RFC 3339, or a time before now (7d) [default: all]
    #[arg(long, value_name = "TIME", value_parser = start_of, conflicts_with = "last")]
    since: Option<SystemTime>,
    /// Report only the newest push of each application
    #[arg(long)]
    last: bool,
    /// Pause after which a further snapshot belongs to another push
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    gap: Duration,
    /// Print the ids of the entities that were not mentioned
    #[arg(long)]
    list: bool,
    /// Print one JSON object per push
    #[arg(long)]
    json: bool,
}

/// Parses a time in RFC 3339, or a duration before now.
fn start_of(text: &str) -> Result<SystemTime, String> {
    if let Ok(duration) = humantime::parse_duration(text) {
        return Ok(SystemTime::now().checked_sub(duration).unwrap_or(UNIX_EPOCH));
    }
    humantime::parse_rfc3339_weak(text)
        .map_err(|_| "is neither RFC 3339 (2026-01-15T08:00:00Z) nor a duration (7d)".to_owned())
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &PushReportArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let pairs = state_pairs(&config);
    let cluster = wiring::cluster(&config);
    let events: Vec<_> = pairs.iter().map(|pair| pair.events.clone()).collect();
    let states: Vec<_> = pairs.iter().map(|pair| pair.states.clone()).collect();
    let mut folder = Folder::new(pairs);
    let read = scan(&cluster, &events, Range::Since(0), READ_TIMEOUT, |seen| {
        folder.event(&seen);
        true
    });
    let read = read.and_then(|events| {
        let states = scan(&cluster, &states, Range::Since(0), READ_TIMEOUT, |seen| {
            folder.state(&seen);
            true
        })?;
        Ok((events, states))
    });
    let (events, states) = match read {
        Ok(read) => read,
        Err(fault) => return report(&Diagnosis::from(&fault)),
    };
    let call = Call::new(&arguments.config);
    let complete = warn(&events, &call) & warn(&states, &call);
    let mut runs = folder.runs(arguments.gap, states.missing.is_empty());
    if arguments.last {
        runs::keep_newest(&mut runs);
    }
    let begin = arguments.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
    let begin = begin.and_then(|begin| i64::try_from(begin.as_millis()).ok()).unwrap_or(i64::MIN);
    runs.retain(|run| run.begin >= begin);
    let Some(_) = runs.first() else {
        let remedy =
            "report a longer period (--since 30d), or press Synchronize in the IDaaS console to start a full push";
        return print_error_with_fix("the topics have no full push of that period", remedy);
    };
    let shown = show::all(&runs, &config, arguments.list, arguments.json, &mut stdout());
    end(shown.map(|()| if complete { Exit::Success } else { Exit::Failed }))
}

/// Prints what could not be read. Returns true if everything was read that exists.
fn warn(scanned: &Scanned, call: &Call<'_>) -> bool {
    for topic in &scanned.missing {
        note(absent(topic, call));
    }
    if !scanned.complete {
        let remedy = format!("run this again when all brokers answer; {} names those that do not", call.of("check"));
        print_error_with_fix("not all partitions could be read", remedy);
    }
    scanned.complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_a_time_or_a_duration_before_now() {
        assert_eq!(start_of("1970-01-01T00:01:00Z"), Ok(UNIX_EPOCH + Duration::from_secs(60)));
        let start = start_of("7d").unwrap();
        assert_eq!(SystemTime::now().duration_since(start).unwrap().as_secs() / 86_400, 7);
        assert!(start_of("yesterday").is_err());
    }
}
