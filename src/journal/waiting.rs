//! Reasons why the head of a lane waits, and what to do about each. Pure: a table of codes and sentences.

use outbox::Seq;
use serde::{Deserialize, Serialize};

use super::summary::time;

/// The waiting head of a lane. The rest of the lane waits behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingEntry {
    /// Sequence number of its entry.
    pub seq: Seq,
    /// The stable code of the reason; see [`next_step`].
    pub reason: &'static str,
    /// How many attempts to publish it have failed.
    pub attempts: u32,
    /// When the first of them failed, in milliseconds since 1970. `None` if it has not been tried.
    pub since: Option<i64>,
}

/// Why the first event of a lane waits, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitState {
    /// The stable code of the reason.
    pub reason: String,
    /// How many attempts to publish it have failed.
    pub attempts: u32,
    /// What to do.
    pub next_step: String,
}

impl WaitState {
    /// Describes why an event for this topic waits. `unreachable` is as for [`next_step`].
    #[must_use]
    pub fn of(head: &WaitingEntry, topic: &str, unreachable: &[String]) -> Self {
        let next_step = next_step(head.reason, topic, unreachable);
        Self { reason: head.reason.to_owned(), attempts: head.attempts, next_step }
    }
}

/// The first event of a lane, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneHead {
    /// Id of the event.
    pub event_id: String,
    /// The application's configured name.
    pub application: String,
    /// Topic of the record.
    pub topic: String,
    /// The stable code of the reason.
    pub reason: String,
    /// How many attempts to publish it have failed.
    pub attempts: u32,
    /// When the first attempt failed. If there was no attempt yet, when the event was received.
    #[serde(with = "time")]
    pub since: i64,
    /// What to do.
    pub next_step: String,
}

/// The known reasons, each with what to do. `{topic}` is replaced by the topic, and `{brokers}` by the broker addresses
/// that do not respond.
const STEPS: [(&str, &str); 19] = [
    (
        "kafka_unavailable",
        "Kafka does not answer{brokers}. Restore it, or correct kafka.bootstrap_servers or the brokers' \
        advertised.listeners; `idaas-bridge check` names the cause.",
    ),
    ("replay_pending", "It waits for earlier entries of the journal. It is published automatically."),
    ("other_replica", "Another replica publishes the events of this entity first. This one follows automatically."),
    (
        "not_authorized",
        "The broker denies WRITE on {topic}. Grant the service's Kafka user its rights: kafka-acls.sh \
        --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation Write --operation Read --operation \
        DescribeConfigs --topic {topic}.",
    ),
    (
        "unknown_topic",
        "The topic {topic} does not exist, or this user may not see it. Create it: idaas-bridge topics --config FILE \
         --create. Or grant DESCRIBE and READ.",
    ),
    (
        "partition_unavailable",
        "The leader of its partition cannot be reached{brokers}. Start the brokers that have {topic} (kafka-topics \
        --describe --unavailable-partitions); `idaas-bridge check` names addresses that cannot be reached.",
    ),
    (
        "not_enough_replicas",
        "Fewer replicas of {topic} are in sync than min.insync.replicas requires. Start the missing brokers, or find \
        out why they lag (kafka-topics --describe --under-min-isr-partitions).",
    ),
    (
        "timed_out",
        "The broker has not confirmed it in time. Look at the load, the disks and the network of the brokers of \
        {topic}.",
    ),
    (
        "invalid_timestamp",
        "The broker rejects the record's time. Correct the clock of this machine or of the brokers, or \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms of {topic}.",
    ),
    (
        "record_too_large",
        "The record is larger than {topic} accepts. Raise its max.message.bytes, up to message.max.bytes in \
         kafka.properties.",
    ),
    (
        "policy_violation",
        "A policy of the Kafka cluster rejects the record. Ask its administrator which one applies to {topic}.",
    ),
    (
        "invalid_record",
        "The broker considers the record invalid. {topic} may be compacted, or validate records by another schema: set \
         cleanup.policy=delete, and disable the validation.",
    ),
    ("asking_replicas", "Other replicas may have it too. They are asked; then it is published automatically."),
    ("queue_full", "The producer's queue is full. It is retried automatically."),
    ("producer_replaced", "The producer was replaced before the broker confirmed it. It is retried automatically."),
    (
        "producer_failed",
        "There is no working producer. The log names the cause (code producer_not_replaced); it is created again \
        automatically.",
    ),
    (
        "cluster_replaced",
        "Another Kafka cluster answers at the same addresses. It is published there automatically; correct \
        kafka.bootstrap_servers if that is not intended.",
    ),
    (
        "journal_unreadable",
        "Its entry in the journal cannot be read. The log names the cause (code journal_entry_damaged). `idaas-bridge \
        journal discard` removes it, so that the next event of its entity is published.",
    ),
    (
        "other",
        "The broker reports an error that this version does not know; the log names it. It is retried automatically. \
        Look at the brokers' logs.",
    ),
];

/// Returns what to do about an event that waits for this reason. `topic` is the topic of its record. `unreachable`
/// contains the advertised broker addresses that do not respond, as far as they are known.
#[must_use]
pub fn next_step(reason: &str, topic: &str, unreachable: &[String]) -> String {
    let known = STEPS.iter().find(|(code, _)| *code == reason);
    let step = known.map_or(
        "It is retried automatically. If it is not published within minutes, read the log, which names the broker's \
        error.",
        |(_, step)| step,
    );
    let brokers = match unreachable {
        [] => String::new(),
        some => format!(" (no answer from {}, as brokers advertise)", some.join(", ")),
    };
    step.replace("{topic}", if topic.is_empty() { "its topic" } else { topic }).replace("{brokers}", &brokers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_step_that_names_the_topic() {
        for (code, step) in STEPS {
            let shown = next_step(code, "idaas.user.v1", &[]);
            assert!(!shown.contains('{') && shown.ends_with('.'), "{code}: {shown}");
            assert_eq!(step.contains("{topic}"), shown.contains("idaas.user.v1"), "{code}");
        }
        assert!(next_step("not_authorized", "", &[]).contains("its topic"));
    }

    #[test]
    fn an_unavailable_kafka_names_the_addresses_without_answer() {
        let shown = next_step("kafka_unavailable", "idaas.user.v1", &["kafka-1:9092".to_owned()]);
        assert!(
            shown.starts_with("Kafka does not answer (no answer from kafka-1:9092, as brokers advertise)."),
            "{shown}"
        );
        assert!(next_step("kafka_unavailable", "", &[]).starts_with("Kafka does not answer. "));
    }

    #[test]
    fn every_reason_of_the_outbox_has_a_step() {
        for reason in outbox::WaitReason::all() {
            assert!(STEPS.iter().any(|(code, _)| *code == reason.code()), "{}", reason.code());
        }
    }

    #[test]
    fn an_unknown_reason_points_to_the_log() {
        assert!(next_step("something_new", "idaas.user.v1", &[]).contains("the log"));
    }
}
