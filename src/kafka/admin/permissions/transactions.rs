//! Tests whether this user may use transactions, with a request that every broker checks for permission and then
//! rejects.
//!
//! A broker first checks the right to WRITE the transactional id (`KafkaApis`), and then the transaction's timeout
//! (`TransactionCoordinator`). A timeout above `transaction.max.timeout.ms` is answered with
//! `INVALID_TRANSACTION_TIMEOUT` before anything is stored. If a cluster accepts it, the id is stored, and forgotten
//! after a week.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::Use;
use super::writing::WriteContext;
use crate::kafka::client::error::describe;
use crate::kafka::client::settings::Cluster;

/// The transaction's timeout in milliseconds, which no broker accepts unless its limit is as high. librdkafka adds to
/// it, so it is not the greatest number.
const INVALID_TIMEOUT: &str = "2000000000";

/// Tests whether this user may use the transactional ids that begin with `prefix`. Blocks for about `limit` at most.
#[must_use]
pub fn transactions(cluster: &Cluster, prefix: &str, limit: Duration) -> Use {
    let mut settings = cluster.transactional(&format!("{prefix}-check"), usize::MAX);
    settings.set("transaction.timeout.ms", INVALID_TIMEOUT);
    let producer: BaseProducer<WriteContext> =
        match BaseProducer::from_config_and_context(&settings, WriteContext::default()) {
            Ok(producer) => producer,
            Err(error) => return Use::Unknown(describe(&error)),
        };
    let result = producer.init_transactions(limit);
    // The fatal error has the broker's code; the result of the call can have another one.
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    match (result, fatal) {
        (Ok(()), _) | (Err(_), Some(RDKafkaErrorCode::InvalidTransactionTimeout)) => Use::Allowed,
        (Err(_), Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed)) => Use::NotAllowed,
        (Err(error), Some(_) | None) => Use::Unknown(describe(&error)),
    }
}
