//! Checks whether several replicas could coordinate: their topic, and the permissions of this user on it. A single
//! replica does not need it, so nothing here is a fault. Publishes nothing.

use super::brokers::REQUEST_TIMEOUT;
use super::code::Code;
use super::finding::Finding;
use super::topics::{Examination, Existing, why_untestable, write_test};
use crate::diagnosis::{Diagnosis, Remedy};
use crate::kafka::admin::administrator::Creation;
use crate::kafka::admin::permissions::{self, Reading, Writing};
use crate::kafka::admin::remedy::Right;
use crate::kafka::admin::topics::{ExistingTopic, State, coordination_topic};

const CODE: Code = Code::ReplicasTopic;

/// What depends on the topic.
const CLAIM: &str = "several replicas can coordinate";
const NOT: &str = "several replicas could not coordinate, and would publish duplicates after an outage (a single replica \
                   does not need it)";

pub(super) fn examine(examination: &Examination<'_>) -> Finding {
    let topic = coordination_topic(&examination.config.topics.prefix);
    let key = format!("topic {topic}");
    match examination.administrator.coordination_topic_with_settings(&topic, REQUEST_TIMEOUT) {
        Some(State::Present(present)) => rights(examination, &topic, &present),
        Some(State::Missing) if examination.config.topics.create => creation(examination, &topic),
        Some(State::Missing) => {
            let command = format!("idaas-bridge topics --config {} --create", examination.path);
            let remedy = Remedy::command("create it", &command);
            Finding::warning(CODE, &key, &format!("does not exist, so {NOT}"), remedy)
        }
        Some(State::Hidden) => {
            let problem = format!("may not be seen by this user, so {NOT}");
            Finding::warning(CODE, &key, &problem, Remedy::grant(&[Right::Write, Right::Read], &[&topic]))
        }
        Some(State::Unreadable(problem)) => {
            untested(&key, &problem, "start the brokers that do not answer, or read their logs")
        }
        None => untested(&key, "no answer in time", "run check again once Kafka answers"),
    }
}

fn untested(key: &str, why: &str, remedy: impl Into<Remedy>) -> Finding {
    Finding::not_tested(CODE, key, &format!("whether {CLAIM}: {why}"), remedy)
}

/// Tests whether this user may write and read the topic.
fn rights(examination: &Examination<'_>, topic: &str, present: &ExistingTopic) -> Finding {
    let key = format!("topic {topic}");
    let see = "see the other findings, and run check again";
    let existing = Existing { name: topic, present, partition: examination.reached_partition(present) };
    let (Some(test), Some(partition)) = (write_test(&existing), existing.partition) else {
        return untested(&key, &why_untestable(&existing).unwrap_or_default(), see);
    };
    let cluster = examination.cluster;
    let writing = permissions::writing(cluster, &[test], REQUEST_TIMEOUT).map(|answers| answers.into_iter().next());
    let writing = writing.unwrap_or_else(|problem| Some(Writing::Unknown(problem)));
    let reading = permissions::reading(cluster, &[(topic, partition)], REQUEST_TIMEOUT).into_iter().next();
    let (Some(writing), Some(reading)) = (writing, reading) else { return untested(&key, "no answer", see) };
    judge(&key, topic, &writing, &reading)
}

fn judge(key: &str, topic: &str, writing: &Writing, reading: &Reading) -> Finding {
    let mut missing = Vec::new();
    if *writing == Writing::NotAllowed {
        missing.push((Right::Write, "WRITE"));
    }
    if *reading == Reading::NotAllowed {
        missing.push((Right::Read, "READ"));
    }
    if !missing.is_empty() {
        let (rights, names): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        let names = names.join(" and ");
        let problem = format!("the user of [kafka.properties] does not have the right to {names}, so {NOT}");
        return Finding::warning(CODE, key, &problem, Remedy::grant(&rights, &[topic]));
    }
    let see = "see the other findings, and run check again";
    match (writing, reading) {
        (Writing::Allowed, Reading::Allowed) => {
            Finding::ok(CODE, key, &format!("exists, and the user may write and read it: {CLAIM}"))
        }
        (Writing::Published, _) => untested(
            key,
            "the cluster published the empty record of an invalid request, so it is not Apache Kafka",
            "do not run check again",
        ),
        (Writing::Unknown(why), _) => untested(key, &format!("whether the user may write is not known ({why})"), see),
        (_, Reading::Unknown(why)) => untested(key, &format!("whether the user may read is not known ({why})"), see),
        (Writing::NotAllowed, _) | (_, Reading::NotAllowed) => untested(key, "a right is missing", see),
    }
}

/// Tests whether `serve` may create the topic.
fn creation(examination: &Examination<'_>, topic: &str) -> Finding {
    let key = format!("topic {topic}");
    let replication = examination.config.topics.replication_factor;
    match examination.administrator.try_create_coordination_topic(topic, replication, REQUEST_TIMEOUT) {
        Ok(Creation::Created | Creation::AlreadyExists) => {
            let why = "the topic has to exist first; `serve` creates it, and this user may create it";
            untested(&key, why, "start serve or run topics --create, then run check again")
        }
        Ok(Creation::Rejected { diagnosis: Diagnosis { problem, remedy, .. }, forbidden }) => {
            let problem = format!("does not exist, and cannot be created by `serve` ({problem}), so {NOT}");
            let remedy = if forbidden { Remedy::grant(&[Right::Create], &[topic]) } else { remedy.unwrap_or_default() };
            Finding::warning(CODE, &key, &problem, remedy)
        }
        Err(unreachable) => untested(&key, &unreachable.to_string(), "run check again once Kafka answers"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn replicas_can_coordinate_only_if_both_rights_were_tested() {
        let unknown = || (Writing::Unknown("no answer".to_owned()), Reading::Unknown("no answer".to_owned()));
        for (writing, reading, level, text) in [
            (Writing::Allowed, Reading::Allowed, Level::Ok, CLAIM),
            (Writing::NotAllowed, Reading::Allowed, Level::Warning, "the right to WRITE, so"),
            (Writing::Allowed, Reading::NotAllowed, Level::Warning, "the right to READ, so"),
            (Writing::NotAllowed, Reading::NotAllowed, Level::Warning, "the right to WRITE and READ, so"),
            (Writing::NotAllowed, unknown().1, Level::Warning, "the right to WRITE, so"),
            (Writing::Allowed, unknown().1, Level::NotTested, "may read is not known"),
            (unknown().0, Reading::Allowed, Level::NotTested, "may write is not known"),
            (Writing::Published, Reading::Allowed, Level::NotTested, "not Apache Kafka"),
        ] {
            let finding = judge("topic t", "t", &writing, &reading);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.diagnosis.problem.contains(text), "{finding:?}");
            assert_eq!(finding.diagnosis.remedy.is_some(), level != Level::Ok);
        }
    }
}
