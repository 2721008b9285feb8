//! `topics`: compares the topics with the configuration, and creates missing ones on request.

mod coordination;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::output::{end, fix_line, report};
use super::{Exit, print_faults};
use crate::config::Config;
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topic_drift::compare::{differences, grouped};
use crate::kafka::admin::topic_drift::text::span;
use crate::kafka::admin::topic_drift::{Difference, Severity};
use crate::kafka::admin::topics::{Cleanup, ExistingTopic, State, TopicSettings, WantedTopic};
use crate::kafka::client::connection_error::Unreachable;
use crate::service::wiring;
use crate::terminal::{BAD, GOOD, QUIET, Table, WARNING, stdout, styled};

/// Timeout of a request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Compare the topics with the configuration, and create missing ones on request
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge topics --config bridge.toml\n  \
    idaas-bridge topics --config bridge.toml --create\n\n\
    Exit code: 0 all topics are correct, 1 one is missing or wrong, or Kafka does not\n\
    answer, 2 the configuration is wrong. Existing topics are never changed.")]
pub struct TopicsArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Create the missing topics
    #[arg(long)]
    create: bool,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &TopicsArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let administrator = match Administrator::new(&wiring::cluster(&config)) {
        Ok(administrator) => administrator,
        Err(fault) => return print_faults(&[fault.into()]),
    };
    let mut out = stdout();
    match observe_and_create(&administrator, &config, arguments.create, &mut out) {
        Ok((plan, states)) => {
            let path = arguments.config.display().to_string();
            let good = states.iter().zip(&plan.topics).all(|(state, wanted)| !is_wrong(&differences(wanted, state)));
            let exit = if good { Exit::Success } else { Exit::Failed };
            // The exit code reports the topics, even if the pipe was closed early.
            let shown = table(&plan, &states, &path, &mut out)
                .and_then(|()| coordination::show(&administrator, &config, arguments.create, &mut out));
            match end(shown.map(|()| exit)) {
                Exit::Success => exit,
                failed @ (Exit::Failed | Exit::Misconfigured) => failed,
            }
        }
        Err(unreachable) => report(&Diagnosis::from(&unreachable)),
    }
}

fn observe_and_create(
    administrator: &Administrator,
    config: &Config,
    create: bool,
    out: &mut dyn Write,
) -> Result<(TopicSettings, Vec<State>), Unreachable> {
    let observe = || {
        let mut plan = TopicSettings::with_states(config);
        let states = administrator.observe(&plan, REQUEST_TIMEOUT)?;
        plan.follow_events(config, &states);
        Ok((plan, states))
    };
    let (plan, states) = observe()?;
    let pairs = plan.topics.iter().zip(&states);
    let missing: Vec<&WantedTopic> =
        pairs.filter(|(_, state)| **state == State::Missing).map(|(wanted, _)| wanted).collect();
    if !create || missing.is_empty() {
        return Ok((plan, states));
    }
    for (wanted, creation) in missing.iter().zip(administrator.create(&missing, REQUEST_TIMEOUT)?) {
        let name = &wanted.name;
        let _ = match creation {
            Creation::Created => writeln!(out, "{} {name}", styled(GOOD, "created")),
            Creation::AlreadyExists => writeln!(out, "{} {name}: it exists by now", styled(QUIET, "skipped")),
            Creation::Rejected { diagnosis: Diagnosis { problem, remedy, .. }, .. } => {
                let remedy = fix_line("fix", remedy.unwrap_or_default());
                writeln!(out, "{} {name}: {problem}\n{remedy}", styled(BAD, "not created"))
            }
        };
    }
    let _ = writeln!(out);
    observe()
}

fn is_wrong(differences: &[Difference]) -> bool {
    differences.iter().any(|difference| difference.severity() == Severity::Wrong)
}

/// Prints one row per topic, and below the table what to do.
fn table(plan: &TopicSettings, states: &[State], path: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new([
        "topic",
        ">partitions",
        ">replicas",
        ">in sync",
        ">cleanup",
        ">record bytes",
        ">retention",
        "state",
    ]);
    for (wanted, state) in plan.topics.iter().zip(states) {
        let found = differences(wanted, state);
        let verdict = match () {
            () if found.is_empty() => styled(GOOD, "ok"),
            () if found == [Difference::Missing] => styled(BAD, "missing"),
            () if is_wrong(&found) => styled(BAD, "wrong"),
            () => styled(WARNING, "see below"),
        };
        let [partitions, replicas, in_sync, cleanup, bytes, retention] = cells(wanted, state);
        table.row([wanted.name.clone(), partitions, replicas, in_sync, cleanup, bytes, retention, verdict]);
    }
    write!(out, "{table}")?;
    notes(states, out)?;
    let groups = grouped(plan, states);
    if !groups.is_empty() {
        writeln!(out)?;
    }
    for group in groups {
        let style = match group.difference.severity() {
            Severity::Notable => WARNING,
            Severity::Wrong => BAD,
        };
        let (heading, each) = match group.topics.as_slice() {
            [topic] => (format!("{topic}:"), ""),
            topics => (format!("{} topics:", topics.len()), "each "),
        };
        let remedy = group.difference.remedy(&group.topics, path);
        writeln!(out, "{} {each}{}", styled(style, heading), group.difference)?;
        writeln!(out, "{}", fix_line("fix", remedy))?;
    }
    out.flush()
}

/// Returns the actual values. A value that differs is followed by a slash and the expected value.
fn cells(wanted: &WantedTopic, state: &State) -> [String; 6] {
    let State::Present(present) = state else {
        let size = format!("-/{}", wanted.max_message_bytes);
        let (partitions, replication) = (format!("-/{}", wanted.partitions), format!("-/{}", wanted.replication));
        let (in_sync, retention) = (format!("-/{}", wanted.min_insync_replicas()), span(wanted.retention_ms()));
        return [
            partitions,
            replication,
            in_sync,
            format!("-/{}", wanted.cleanup.policy()),
            size,
            format!("-/{retention}"),
        ];
    };
    let settings = present.settings.clone().unwrap_or_default();
    let number = |found: Option<i64>, wanted: i64, fits: fn(i64, i64) -> bool| match found {
        None => "?".to_owned(),
        Some(found) if fits(found, wanted) => found.to_string(),
        Some(found) => format!("{found}/{wanted}"),
    };
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let at_least = |found: i64, wanted: i64| found >= wanted;
    [
        number(Some(present.partitions.into()), wanted.partitions.into(), |found, wanted| found == wanted),
        number(Some(present.replication.into()), wanted.replication.into(), at_least),
        number(settings.min_insync_replicas.map(i64::from), wanted.min_insync_replicas().into(), at_least),
        settings.cleanup_policy.map_or_else(
            || "?".to_owned(),
            |policy| {
                let right = match wanted.cleanup {
                    Cleanup::Delete => !policy.contains("compact"),
                    Cleanup::Compact => policy == "compact",
                };
                if right { policy } else { format!("{policy}/{}", wanted.cleanup.policy()) }
            },
        ),
        number(settings.max_message_bytes.map(size), size(wanted.max_message_bytes), at_least),
        match (settings.retention_ms, retention(wanted.retention_ms())) {
            // A compacted topic keeps the newest record of each key without a time limit.
            _ if wanted.cleanup == Cleanup::Compact => "-".to_owned(),
            (None, _) => "?".to_owned(),
            (Some(found), least) if retention(found) >= least => span(found),
            (Some(found), _) => format!("{}/{}", span(found), span(wanted.retention_ms())),
        },
    ]
}

/// Makes `retention.ms` comparable: a negative value means that there is no limit.
const fn retention(retention_ms: i64) -> i64 {
    if retention_ms < 0 { i64::MAX } else { retention_ms }
}

/// Prints why settings are not known, each reason once.
fn notes(states: &[State], out: &mut dyn Write) -> io::Result<()> {
    let mut printed = Vec::new();
    for state in states {
        if let State::Present(ExistingTopic { settings: Err(why), .. }) = state
            && !printed.contains(&why)
        {
            writeln!(out, "\n{} {why}; check them by hand", styled(WARNING, "? = the settings are not known:"))?;
            printed.push(why);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use idaas_callback::event_type::Entity;

    use super::*;
    use crate::kafka::admin::topics::{Settings, Unknown};
    use crate::terminal::without_styles;

    fn present(settings: Result<Settings, Unknown>) -> ExistingTopic {
        ExistingTopic { partitions: 12, replication: 3, in_sync: Some(3), leaderless: 0, leaders: Vec::new(), settings }
    }

    fn shown(state: State) -> String {
        let wanted = WantedTopic {
            name: "idaas.user.v1".to_owned(),
            entity: Entity::User,
            partitions: 12,
            partitions_of: None,
            replication: 3,
            cleanup: Cleanup::Delete,
            max_message_bytes: 1_000_000,
            retention: None,
        };
        let mut out = Vec::new();
        table(&TopicSettings { topics: vec![wanted] }, &[state], "bridge.toml", &mut out).unwrap();
        without_styles(&String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_missing_topic_is_shown_with_the_command_to_create_it() {
        let shown = shown(State::Missing);
        assert!(shown.contains("-/12"), "{shown}");
        assert!(shown.contains("missing\n"), "{shown}");
        assert!(shown.contains(" topics --config bridge.toml --create"), "{shown}");
    }

    #[test]
    fn a_row_of_the_longest_usual_topic_fits_a_terminal() {
        let wanted = WantedTopic {
            name: "idaas.organizational-unit.state.v1".to_owned(),
            entity: Entity::User,
            partitions: 12,
            partitions_of: None,
            replication: 3,
            cleanup: Cleanup::Delete,
            max_message_bytes: 8_388_608,
            retention: Some(Duration::from_secs(30 * 86_400)),
        };
        let settings = Settings {
            min_insync_replicas: Some(2),
            cleanup_policy: Some("delete".to_owned()),
            max_message_bytes: Some(8_388_608),
            retention_ms: Some(2_592_000_000),
            ..Settings::default()
        };
        let mut out = Vec::new();
        let plan = TopicSettings { topics: vec![wanted] };
        table(&plan, &[State::Present(present(Ok(settings)))], "bridge.toml", &mut out).unwrap();
        let shown = without_styles(&String::from_utf8(out).unwrap());
        let rows = shown.lines().take(2);
        assert!(rows.clone().all(|row| row.len() <= 110), "{shown}");
        assert!(rows.last().unwrap().contains("delete       8388608"), "{shown}");
    }

    #[test]
    fn a_wrong_value_stands_beside_the_right_one() {
        let settings = Settings {
            min_insync_replicas: Some(1),
            cleanup_policy: Some("compact".to_owned()),
            max_message_bytes: Some(500),
            retention_ms: Some(604_800_000),
            ..Settings::default()
        };
        let shown = shown(State::Present(ExistingTopic { partitions: 6, ..present(Ok(settings)) }));
        for part in ["6/12", "1/2", "compact/delete", "500/1000000", "7d/unlimited", "wrong\n"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn unknown_settings_are_not_reported_as_wrong() {
        let shown = shown(State::Present(present(Err(Unknown::NotSupported))));
        assert!(shown.contains('?') && shown.contains("ok\n") && !shown.contains("wrong"), "{shown}");
    }
}
