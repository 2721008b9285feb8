//! Tests whether this user may use a consumer group, with a commit that every broker checks for permission and then
//! rejects.
//!
//! A broker first checks the right to READ the group, then the topics of the commit, and only then the group itself
//! (`KafkaApis`). A commit for a partition that does not exist is answered with `UNKNOWN_TOPIC_OR_PARTITION` before the
//! group is looked at, so nothing is stored and no member is disturbed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::Use;
use crate::kafka::client::error::describe;
use crate::kafka::client::log;
use crate::kafka::client::settings::Cluster;

/// A partition that no topic has.
const NO_PARTITION: i32 = i32::MAX;

/// Duration of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// Tests whether this user may be a member of a consumer group. `topic` is one that the group reads. Blocks for about
/// `limit` at most.
#[must_use]
pub fn membership(cluster: &Cluster, group_id: &str, topic: &str, limit: Duration) -> Use {
    ask(cluster, group_id, topic, limit).unwrap_or_else(Use::Unknown)
}

fn ask(cluster: &Cluster, group_id: &str, topic: &str, limit: Duration) -> Result<Use, String> {
    let mut settings = cluster.partition_reader("check");
    settings.set("group.id", group_id);
    let context = CommitContext::default();
    let consumer: BaseConsumer<CommitContext> =
        BaseConsumer::from_config_and_context(&settings, context.clone()).map_err(|error| describe(&error))?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, NO_PARTITION, Offset::Offset(0)).map_err(|error| error.to_string())?;
    consumer.commit(&offsets, CommitMode::Async).map_err(|error| error.to_string())?;
    let end = Instant::now() + limit;
    while Instant::now() < end {
        // Without the right, the group's coordinator is denied as well, which is reported here.
        let denied = matches!(consumer.poll(POLL_TIMEOUT), Some(Err(error)) if is_denied(&error));
        if denied {
            return Ok(Use::NotAllowed);
        }
        if let Some(result) = context.result.lock().take() {
            return Ok(judge(&result));
        }
    }
    Ok(Use::Unknown("no answer in time".to_owned()))
}

fn judge(result: &KafkaResult<()>) -> Use {
    // The right on the group is checked first, so an answer about the topic shows that it is there.
    const ALLOWED: [RDKafkaErrorCode; 3] = [
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownPartition,
        RDKafkaErrorCode::TopicAuthorizationFailed,
    ];
    match result {
        Ok(()) => Use::Allowed,
        Err(error) if is_denied(error) => Use::NotAllowed,
        Err(error) if error.rdkafka_error_code().is_some_and(|code| ALLOWED.contains(&code)) => Use::Allowed,
        Err(error) => Use::Unknown(error.to_string()),
    }
}

fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

/// Receives the answer to the commit.
#[derive(Clone, Default)]
struct CommitContext {
    result: Arc<Mutex<Option<KafkaResult<()>>>>,
}

impl ClientContext for CommitContext {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        log::quiet_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log::quiet_error(&error, reason);
    }
}

impl ConsumerContext for CommitContext {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // The commit as a whole can succeed although a partition is rejected.
        let of_partition = offsets.elements().into_iter().find_map(|element| element.error().err());
        *self.result.lock() = Some(of_partition.map_or(result, Err));
    }
}
