//! Converts the cluster's answers to our own types. Pure.

use rdkafka::admin::ConfigResource;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use super::Creation;
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::topics::{ExistingTopic, Leader, Settings, State, Unknown};
use crate::telemetry::log_code::LogCode;

#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
pub(super) fn state(topic: &MetadataTopic) -> State {
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => return State::Missing,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return State::Hidden,
        // Reported while all partitions elect their leaders, which the partitions themselves show in more detail.
        Some(RDKafkaErrorCode::LeaderNotAvailable) if !topic.partitions().is_empty() => {}
        Some(code) => return State::Unreadable(code.to_string()),
    }
    let partitions = topic.partitions();
    State::Present(ExistingTopic {
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication: partitions
            .iter()
            .map(|partition| i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX))
            .min()
            .unwrap_or_default(),
        in_sync: partitions
            .iter()
            .filter(|partition| partition.leader() >= 0)
            .map(|partition| i32::try_from(partition.isr().len()).unwrap_or(i32::MAX))
            .min(),
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count(),
        leaders: leaders(partitions),
        settings: Err(Unknown::NotRequested),
    })
}

fn leaders(partitions: &[MetadataPartition]) -> Vec<Leader> {
    let mut leaders: Vec<Leader> = Vec::new();
    for partition in partitions.iter().filter(|partition| partition.leader() >= 0) {
        match leaders.iter_mut().find(|leader| leader.broker == partition.leader()) {
            Some(leader) => leader.partitions += 1,
            None => leaders.push(Leader { broker: partition.leader(), partition: partition.id(), partitions: 1 }),
        }
    }
    leaders.sort_by_key(|leader| leader.broker);
    leaders
}

pub(super) fn settings(resource: &ConfigResource) -> Result<Settings, Unknown> {
    // rdkafka drops the error of a single topic, which then comes without any setting.
    if resource.entries.is_empty() {
        return Err(Unknown::NotAllowed);
    }
    let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
    let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
    // Up to 3.9 there is also one limit for both directions.
    let limit = |name: &str| {
        let both = number("message.timestamp.difference.max.ms");
        // The broker replaces timestamps that it sets itself.
        let by_sender = value("message.timestamp.type").as_deref() != Some("LogAppendTime");
        [number(name), both].into_iter().flatten().min().filter(|_| by_sender)
    };
    Ok(Settings {
        min_insync_replicas: value("min.insync.replicas").and_then(|value| value.parse().ok()),
        cleanup_policy: value("cleanup.policy"),
        max_message_bytes: value("max.message.bytes").and_then(|value| value.parse().ok()),
        retention_ms: number("retention.ms"),
        delete_retention_ms: number("delete.retention.ms"),
        timestamp_before_max_ms: limit("message.timestamp.before.max.ms"),
        timestamp_after_max_ms: limit("message.timestamp.after.max.ms"),
    })
}

/// Returns the code of an error. rdkafka does not count administration errors among librdkafka's codes.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() }
}

/// Returns the reason why settings are not known.
#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
pub(super) fn unknown(code: RDKafkaErrorCode) -> Unknown {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Unknown::NotAllowed
        }
        RDKafkaErrorCode::UnsupportedFeature => Unknown::NotSupported,
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => Unknown::NoAnswer,
        other => Unknown::Other(other.to_string()),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's list of errors grows")]
pub(super) fn creation(code: Option<RDKafkaErrorCode>) -> Creation {
    let Some(code) = code else { return Creation::Created };
    let remedy = match code {
        RDKafkaErrorCode::TopicAlreadyExists => return Creation::AlreadyExists,
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "the cluster has fewer brokers than topics.replication_factor: start the others, or lower it"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "grant the user of [kafka.properties] CREATE on the topic, or ask an administrator to create it"
        }
        RDKafkaErrorCode::PolicyViolation => {
            "the cluster's create.topic.policy rejects it: ask its administrators for allowed values of \
            topics.partitions and topics.replication_factor"
        }
        RDKafkaErrorCode::UnsupportedFeature => "create it with the tools of this cluster",
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => {
            "try again; check that a controller is running"
        }
        _ => "see the controller's log",
    };
    let forbidden =
        matches!(code, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed);
    Creation::Rejected { diagnosis: Diagnosis::new(LogCode::TopicNotCreated, code.to_string(), remedy), forbidden }
}
