//! Checks what `materialize` needs besides the state topics: its directory, its consumer group, its transactions, and
//! the right to read the event topics. `serve` works without it. Makes, publishes and commits nothing.

use super::brokers::REQUEST_TIMEOUT;
use super::code::Code;
use super::disk;
use super::finding::Finding;
use super::report::plural;
use crate::cli::output::shell_word;
use crate::config::{Config, State};
use crate::diagnosis::Remedy;
use crate::kafka::admin::permissions::{self, Reading, Use};
use crate::kafka::admin::remedy::Right;
use crate::kafka::admin::topics::state_topics::state_pairs;
use crate::kafka::client::settings::Cluster;

/// The room below which the disk gets a warning: the smallest file of the working state has some megabytes.
const MIN_FREE: u64 = 256 << 20;

const DIRECTORY: &str = "state.directory";
const GROUP: &str = "state.group_id";

/// Checks without the network.
pub(super) fn offline(config: &Config) -> Vec<Finding> {
    let Some(state) = &config.state else { return Vec::new() };
    let why = "whether the user may use the group and transactions, and the state topics exist (--offline)";
    let mut findings = directory(state);
    findings.push(Finding::not_tested(Code::StateGroup, GROUP, why, "run check without --offline"));
    findings
}

/// Returns the findings if nothing is known about the topics.
pub(super) fn unanswered(config: &Config) -> Vec<Finding> {
    let Some(state) = &config.state else { return Vec::new() };
    let mut findings = directory(state);
    let why = "whether the user may use the group and transactions, and the state topics exist";
    findings.push(Finding::not_tested(Code::StateGroup, GROUP, why, "run check again once Kafka answers"));
    findings
}

/// Checks everything. `readings` has what is known about the right to READ the event topics that exist.
pub(super) fn examine(config: &Config, cluster: &Cluster, readings: &[(&str, Reading)]) -> Vec<Finding> {
    let Some(state) = &config.state else { return Vec::new() };
    let events: Vec<String> = state_pairs(config).into_iter().map(|pair| pair.events).collect();
    let names: Vec<&str> = events.iter().map(String::as_str).collect();
    let mut findings = directory(state);
    findings.extend(event_topics(&names, readings));
    let topic = names.first().copied().unwrap_or_default();
    findings.push(group(state, &permissions::membership(cluster, &state.group_id, topic, REQUEST_TIMEOUT)));
    findings.push(transactions(state, &permissions::transactions(cluster, &state.group_id, REQUEST_TIMEOUT)));
    findings
}

fn directory(state: &State) -> Vec<Finding> {
    let shown = state.directory.display();
    let usable = disk::usable(&state.directory).and_then(|existing| {
        if existing == state.directory {
            disk::files_writable(&existing)?;
        }
        Ok(existing)
    });
    let existing = match usable {
        Ok(existing) => existing,
        Err(problem) => {
            let problem = format!("{problem}: `materialize` keeps its working state there");
            let remedy = "name a directory that the user of `materialize` may write to, and run check as this user";
            return vec![Finding::fault(Code::StateDirectory, DIRECTORY, &problem, remedy)];
        }
    };
    let text = if existing == state.directory { "can be written to" } else { "does not exist yet, and can be created" };
    vec![
        Finding::ok(Code::StateDirectory, DIRECTORY, &format!("{shown} {text}")),
        room(&shown.to_string(), disk::free_bytes(&existing)),
    ]
}

fn room(directory: &str, free: Option<u64>) -> Finding {
    let code = Code::StateRoom;
    let needs = "the working state takes about as much as the state topics";
    let Some(free) = free else {
        let remedy = "look at it by hand: df";
        let why = "whether the disk has enough space: its free space cannot be read";
        return Finding::not_tested(code, DIRECTORY, why, remedy);
    };
    let shown = disk::mebibytes(free);
    if free < MIN_FREE {
        let problem = format!("the disk of {directory} has only {shown} left, and {needs}");
        Finding::warning(code, DIRECTORY, &problem, "free some space, or name a directory on another disk")
    } else {
        Finding::ok(code, DIRECTORY, &format!("the disk has {shown} left; {needs}"))
    }
}

/// Judges the right to READ the event topics. Without it, the service only forgets what it has published, but
/// `materialize` cannot work.
fn event_topics(events: &[&str], readings: &[(&str, Reading)]) -> Vec<Finding> {
    let (mut allowed, mut denied, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for topic in events {
        match readings.iter().find(|(name, _)| name == topic).map(|(_, reading)| reading) {
            Some(Reading::Allowed) => allowed.push(*topic),
            Some(Reading::NotAllowed) => denied.push(*topic),
            Some(Reading::Unknown(_)) | None => unknown.push(*topic),
        }
    }
    let (code, key) = (Code::StateEvents, |topics: &[&str]| plural(topics.len(), "event topic"));
    let mut findings = Vec::new();
    if !allowed.is_empty() {
        findings.push(Finding::ok(code, &key(&allowed), "`materialize` may read"));
    }
    if !denied.is_empty() {
        let problem = "the user of [kafka.properties] does not have the right to READ, so `materialize` gets no events";
        findings.push(Finding::fault(code, &key(&denied), problem, Remedy::grant(&[Right::Read], &denied)));
    }
    if !unknown.is_empty() {
        let why = format!("whether `materialize` may read: {}", unknown.join(", "));
        let remedy = "see the findings about these topics, and run check again";
        findings.push(Finding::not_tested(code, &key(&unknown), &why, remedy));
    }
    findings
}

fn group(state: &State, result: &Use) -> Finding {
    let (code, group) = (Code::StateGroup, &state.group_id);
    match result {
        Use::Allowed => Finding::ok(code, GROUP, &format!("the user may be a member of the consumer group {group}")),
        Use::NotAllowed => {
            let problem = format!(
                "the user of [kafka.properties] does not have the right to READ the consumer group {group}, so \
                 `materialize` cannot join it"
            );
            Finding::fault(code, GROUP, &problem, Remedy::grant_group(&shell_word(group)))
        }
        Use::Unknown(why) => Finding::not_tested(
            code,
            GROUP,
            &format!("whether the user may be a member of the consumer group {group}: {why}"),
            "see the other findings, and run check again",
        ),
    }
}

fn transactions(state: &State, result: &Use) -> Finding {
    let (code, prefix) = (Code::StateTransactions, &state.group_id);
    match result {
        Use::Allowed => {
            Finding::ok(code, GROUP, &format!("the user may use the transactional ids that begin with {prefix}"))
        }
        Use::NotAllowed => {
            let problem = format!(
                "the user of [kafka.properties] does not have the rights to WRITE and DESCRIBE transactional ids that \
                 begin with {prefix}, so `materialize` cannot publish"
            );
            Finding::fault(code, GROUP, &problem, Remedy::grant_transactions(&shell_word(prefix)))
        }
        Use::Unknown(why) => Finding::not_tested(
            code,
            GROUP,
            &format!("whether the user may use transactional ids that begin with {prefix}: {why}"),
            "see the other findings, and run check again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::Path;

    use super::super::finding::Level;
    use super::*;

    fn state(directory: &Path) -> State {
        State {
            group_id: "states".to_owned(),
            directory: directory.to_owned(),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        }
    }

    fn levels(findings: &[Finding]) -> Vec<(&str, Level)> {
        findings.iter().map(|finding| (finding.diagnosis.code, finding.level)).collect()
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let findings = super::directory(&state(&file.join("state")));
        assert_eq!(levels(&findings), [("state_directory", Level::Fault)]);
        assert!(!findings[0].prevents_start, "serve works without it");
        let absent = directory.path().join("a/b");
        assert_eq!(levels(&super::directory(&state(&absent)))[0], ("state_directory", Level::Ok));
        assert!(!absent.exists());
    }

    #[test]
    fn a_disk_with_little_room_is_a_warning() {
        let level = |free| room("/state", free).level;
        assert_eq!(level(None), Level::NotTested);
        assert_eq!([level(Some(MIN_FREE - 1)), level(Some(MIN_FREE))], [Level::Warning, Level::Ok]);
    }

    #[test]
    fn a_right_counts_only_if_it_was_tested() {
        let readings = [("a", Reading::Allowed), ("b", Reading::NotAllowed), ("c", Reading::Unknown("x".to_owned()))];
        let findings = event_topics(&["a", "b", "c", "d"], &readings);
        let code = "state_events";
        assert_eq!(levels(&findings), [(code, Level::Ok), (code, Level::Fault), (code, Level::NotTested)]);
        assert!(findings[1].diagnosis.remedy.as_ref().unwrap().to_string().ends_with("--topic b"), "{findings:?}");
        assert!(findings[2].diagnosis.problem.ends_with("c, d"), "{findings:?}");
        let state = state(Path::new("/state"));
        for (result, level) in [
            (Use::Allowed, Level::Ok),
            (Use::NotAllowed, Level::Fault),
            (Use::Unknown("no answer in time".to_owned()), Level::NotTested),
        ] {
            assert_eq!((group(&state, &result).level, transactions(&state, &result).level), (level, level));
        }
    }
}
