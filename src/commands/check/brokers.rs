//! The doctor's look at Kafka: settings, brokers, topics, permission to write. Publishes nothing.

use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::config::Config;
use crate::kafka::administrator::Administrator;
use crate::kafka::probe::{self, Reading, Writing};
use crate::kafka::settings::Cluster;
use crate::kafka::topics::{Plan, Present, Severity, State, Wanted, coordination_topic, differences};
use crate::kafka::trouble::Away;
use crate::service::assemble;

/// How long the cluster may take for each question.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the permission to read is for.
const MEMORY: &str = "dedupe";
const SERVERS: &str = "kafka.bootstrap_servers";

/// Whether librdkafka takes the properties; connects to nothing.
pub(super) fn settings(config: &Config) -> Finding {
    match probe::settings_fault(&assemble::cluster(config)) {
        Some(problem) => Finding::prevents_start(assemble::kafka_fault(&problem)),
        None => Finding::ok("kafka.properties", "librdkafka takes them"),
    }
}

/// Everything that needs the brokers; findings come as they are made.
pub(super) fn examine(config: &Config, path: &Path, tell: &mut dyn FnMut(Finding)) {
    let (cluster, plan) = (assemble::cluster(config), Plan::of(config));
    let administrator = match Administrator::new(&cluster) {
        Ok(administrator) => administrator,
        Err(fault) => return tell(Finding::prevents_start(assemble::kafka_fault(&fault.to_string()))),
    };
    let brokers = match administrator.reach(PATIENCE) {
        Ok(brokers) => brokers.count,
        Err(away) => {
            unreachable(config, &away, tell);
            return tell(Finding::skipped("topics", "are checked once Kafka answers"));
        }
    };
    let servers = config.kafka.bootstrap_servers.join(", ");
    tell(Finding::ok(SERVERS, &format!("{servers} answers; the cluster has {brokers} brokers")));
    let replicas = config.topics.replication_factor;
    if usize::try_from(replicas).is_ok_and(|replicas| replicas > brokers) {
        let problem = format!("is {replicas}, and the cluster has {brokers} brokers: no topic could be created");
        tell(Finding::warning("topics.replication_factor", &problem, "start the other brokers, or lower it"));
    }
    tell(coordination(&administrator, config));
    match administrator.observe(&plan, PATIENCE) {
        Ok(states) => topics(&cluster, &plan, &states, path, tell),
        Err(away) => unreachable(config, &away, tell),
    }
}

fn unreachable(config: &Config, away: &Away, tell: &mut dyn FnMut(Finding)) {
    if away.troubles.is_empty() {
        let problem =
            format!("{} does not answer, and librdkafka does not say why", config.kafka.bootstrap_servers.join(", "));
        tell(Finding::fault(
            SERVERS,
            &problem,
            "see that address and port are right, and that firewalls let it through",
        ));
    }
    for trouble in &away.troubles {
        let problem = format!("Kafka does not answer ({}): {}", trouble.cause.code(), trouble.words);
        tell(Finding::fault(SERVERS, &problem, trouble.cause.remedy()));
    }
}

fn topics(cluster: &Cluster, plan: &Plan, states: &[State], path: &Path, tell: &mut dyn FnMut(Finding)) {
    let path = path.display().to_string();
    let writings = writings(cluster, plan, states);
    for ((wanted, state), writing) in plan.topics.iter().zip(states).zip(writings) {
        let key = format!("topic {}", wanted.name);
        let found = differences(wanted, state);
        for difference in &found {
            let remedy = difference.remedy(&wanted.name, &path);
            tell(match difference.severity() {
                Severity::Wrong => Finding::fault(&key, &difference.to_string(), &remedy),
                Severity::Notable => Finding::warning(&key, &difference.to_string(), &remedy),
            });
        }
        if let State::Present(present) = state {
            if found.is_empty() {
                tell(Finding::ok(&key, &described(present)));
            }
            if let Err(why) = &present.settings {
                let text = format!("min.insync.replicas, cleanup.policy and max.message.bytes are not checked: {why}");
                tell(Finding::skipped(&key, &text));
            }
            permission(&key, writing, tell);
        }
    }
    let present = plan.topics.iter().zip(states).filter(|(_, state)| matches!(state, State::Present(_)));
    let present: Vec<_> = present.map(|(wanted, _)| wanted.name.as_str()).collect();
    if !present.is_empty() {
        tell(memory(probe::reading(cluster, &present, PATIENCE)));
    }
}

/// Whether several replicas could coordinate. A single one does not need to, so this is never a fault.
fn coordination(administrator: &Administrator, config: &Config) -> Finding {
    let topic = coordination_topic(&config.topics.prefix);
    let key = format!("topic {topic}");
    match administrator.coordination_topic(&topic, PATIENCE) {
        Some(State::Present(_)) => Finding::ok(&key, "several replicas can coordinate"),
        Some(State::Missing) => Finding::ok(
            &key,
            "does not exist; a single replica does not need it, several do: create it with `idaas-bridge topics --create`",
        ),
        Some(State::Hidden) => Finding::ok(
            &key,
            "cannot be seen by this user; a single replica does not need it, several do: allow Describe, Read and Write",
        ),
        Some(State::Unreadable(words)) => Finding::skipped(&key, &words),
        None => Finding::skipped(&key, "no answer in time"),
    }
}

/// Whether the service will find out at its start what was delivered before it.
fn memory(reading: Result<Reading, String>) -> Finding {
    match reading {
        Ok(Reading::Allowed) => Finding::ok(MEMORY, "the user may read the topics"),
        Ok(Reading::NotAllowed) => Finding::warning(
            MEMORY,
            "the user of [kafka.properties] may not read the topics, so after a restart nobody knows what was delivered, \
             and what IDaaS sends again becomes a second record",
            "allow it: kafka-acls.sh --add --allow-principal User:… --operation Read --topic …",
        ),
        Ok(Reading::Unknown) => Finding::skipped(MEMORY, "the permission to read is not known: no answer in time"),
        Err(words) => Finding::skipped(MEMORY, &format!("the permission to read is not known: {words}")),
    }
}

fn described(present: &Present) -> String {
    let known = present.settings.clone().unwrap_or_default();
    let mut text = format!("{} partitions, {} replicas", present.partitions, present.replication);
    if let Some(in_sync) = known.min_insync_replicas {
        text.push_str(&format!(", min.insync.replicas {in_sync}"));
    }
    if let Some(policy) = known.cleanup_policy {
        text.push_str(&format!(", cleanup.policy {policy}"));
    }
    text
}

/// Asks for permission where the topic's limit is known, which is what makes asking harmless.
fn writings(cluster: &Cluster, plan: &Plan, states: &[State]) -> Vec<Option<Writing>> {
    let limit = |state: &State| match state {
        State::Present(Present { settings: Ok(settings), .. }) => settings.max_message_bytes,
        State::Present(_) | State::Missing | State::Hidden | State::Unreadable(_) => None,
    };
    let named = |(wanted, state): (&'_ Wanted, &State)| Some((wanted.name.clone(), limit(state)?));
    let asked: Vec<(String, usize)> = plan.topics.iter().zip(states).filter_map(named).collect();
    let asked: Vec<(&str, usize)> = asked.iter().map(|(name, limit)| (name.as_str(), *limit)).collect();
    let answers = match probe::writing(cluster, &asked, PATIENCE) {
        Ok(answers) => answers,
        Err(words) => asked.iter().map(|_| Writing::Unknown(words.clone())).collect(),
    };
    let mut answers = answers.into_iter();
    states.iter().map(|state| limit(state).and_then(|_| answers.next())).collect()
}

fn permission(key: &str, writing: Option<Writing>, tell: &mut dyn FnMut(Finding)) {
    tell(match writing {
        Some(Writing::Allowed) => Finding::ok(key, "the user may write, and enough replicas are in sync"),
        Some(Writing::NotAllowed) => Finding::fault(
            key,
            "the user of [kafka.properties] may not write",
            "allow it: kafka-acls.sh --add --allow-principal User:… --producer --idempotent --topic …",
        ),
        Some(Writing::TooFewReplicas) => Finding::fault(
            key,
            "fewer replicas are in sync than min.insync.replicas, so no record is confirmed",
            "see which brokers are away, or lag behind",
        ),
        Some(Writing::Unknown(why)) => Finding::skipped(key, &format!("the permission to write is not known: {why}")),
        None => Finding::skipped(
            key,
            "the permission to write is not checked: without the topic's max.message.bytes, asking would publish",
        ),
    });
}
