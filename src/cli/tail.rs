//! `tail`: follows the topics and prints one line per record. Joins no group and commits nothing.

pub(in crate::cli) mod line;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use idaas_callback::event_type::Entity;

use super::output::{Call, end, note, print_error_with_fix, report};
use super::{Exit, print_faults};
use crate::config::Config;
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::topics::TopicSettings;
use crate::kafka::admin::topics::state_topics::state_pairs;
use crate::kafka::history::tail::{Begin, TailReader};
use crate::schema::StateSchema;
use crate::service::wiring;
use crate::terminal::{columns, stdout};

/// Timeout of the cluster's first response, and time to wait for a record before the state is checked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// Follow the topics: one line per record, without the values of its fields
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge tail --config bridge.toml\n  \
    idaas-bridge tail --config bridge.toml user group --from-beginning\n  \
    idaas-bridge tail --config bridge.toml dead-letter --json | jq .value.reason\n  \
    idaas-bridge tail --config bridge.toml user-state --from-beginning\n\n\
    A line has: time of receipt, entity.action, the entity's id, eventId,\n\
    topic/partition@offset, names of the fields. On a terminal, lines are cut at its\n\
    width, and the date and the topic are left out.\n\
    No consumer group is joined, and no offset committed. Ends with Ctrl-C, or after --count records.")]
pub struct TailArguments {
    /// What to follow [default: all events]
    #[arg(value_name = "ENTITY", value_parser = PossibleValuesParser::new(names()))]
    entities: Vec<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print one JSON object per record, with headers, key and the whole value (personal data included)
    #[arg(long)]
    json: bool,
    /// Start with the oldest records on the topics
    #[arg(long)]
    from_beginning: bool,
    /// Stop after this number of records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &TailArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let topics = topics(&config, &arguments.entities);
    if topics.is_empty() {
        return print_error_with_fix(
            "no application seals passwords, so there is no credential topic",
            "set passwords = \"seal\" and credential_key of an application to have one",
        );
    }
    let begin = if arguments.from_beginning { Begin::Oldest } else { Begin::Now };
    let follower = match TailReader::start(&wiring::cluster(&config), &topics, begin, CONNECT_TIMEOUT) {
        Ok(follower) => follower,
        Err(fault) => return report(&Diagnosis::from(&fault)),
    };
    for topic in follower.missing() {
        note(absent(topic, &Call::new(&arguments.config)));
    }
    end(follow(follower, arguments, &mut stdout()).map(|()| Exit::Success))
}

/// Describes why a topic can be missing from the cluster's response, and what to do.
pub(in crate::cli) fn absent(topic: &str, call: &Call<'_>) -> String {
    format!(
        "{topic} does not exist, or this user may not see it: create it with `{} --create`, or grant DESCRIBE and READ",
        call.of("topics")
    )
}

/// Returns what can be followed: the events of each entity, and the states of entities that have states.
fn names() -> Vec<&'static str> {
    let states = StateSchema::ALL.map(StateSchema::name);
    Entity::ALL.map(Entity::name).into_iter().chain(states).collect()
}

/// Returns the topics with these names, or all event topics if there are no names.
fn topics(config: &Config, names: &[String]) -> Vec<String> {
    let is_wanted = |name: &str| names.iter().any(|wanted| wanted == name);
    let events = TopicSettings::of(config).topics.into_iter();
    let events = events.filter(|topic| names.is_empty() || is_wanted(topic.entity.name())).map(|topic| topic.name);
    let states = state_pairs(config).into_iter();
    let states = states.filter(|pair| is_wanted(&format!("{}-state", pair.entity.name()))).map(|pair| pair.states);
    events.chain(states).collect()
}

fn follow(mut follower: TailReader, arguments: &TailArguments, out: &mut dyn Write) -> io::Result<()> {
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let width = columns();
    let mut shown = 0;
    while left > 0 {
        let Some(seen) = follower.next(POLL_TIMEOUT) else {
            let errors = follower.errors();
            for error in errors.iter().skip(shown) {
                note(&error.text);
            }
            shown = errors.len();
            continue;
        };
        if arguments.json {
            writeln!(out, "{}", line::json(&seen))?;
        } else {
            writeln!(out, "{}", line::line(&seen, width))?;
        }
        out.flush()?;
        left -= 1;
    }
    Ok(())
}
