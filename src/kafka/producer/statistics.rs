//! The values of librdkafka's statistics that the metrics show.

use rdkafka::statistics::Statistics;

/// The producer's current state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerStatistics {
    /// Records that wait in the producer.
    pub queue_events: u64,
    /// The maximum number of waiting records.
    pub queue_events_limit: u64,
    /// Bytes that wait in the producer.
    pub queue_bytes: u64,
    /// The maximum number of waiting bytes.
    pub queue_bytes_limit: u64,
    /// Requests that timed out, over all brokers, since the producer began.
    pub request_timeouts: u64,
    /// Requests that were retried, over all brokers, since the producer began.
    pub retries: u64,
    /// Mean round trip of each broker by its id, in microseconds.
    pub round_trips: Vec<(i32, u64)>,
    /// The idempotent producer's epoch. −1 while it has none.
    pub epoch: i64,
}

impl From<&Statistics> for ProducerStatistics {
    fn from(statistics: &Statistics) -> Self {
        let brokers = statistics.brokers.values();
        Self {
            queue_events: statistics.msg_cnt,
            queue_events_limit: statistics.msg_max,
            queue_bytes: statistics.msg_size,
            queue_bytes_limit: statistics.msg_size_max,
            request_timeouts: brokers.clone().map(|broker| broker.req_timeouts).sum(),
            retries: brokers.clone().map(|broker| broker.txretries).sum(),
            // Bootstrap and logical brokers have no broker id.
            round_trips: brokers
                .filter(|broker| broker.nodeid >= 0)
                .filter_map(|broker| Some((broker.nodeid, u64::try_from(broker.rtt.as_ref()?.avg).ok()?)))
                .collect(),
            epoch: statistics.eos.as_ref().map_or(-1, |eos| eos.producer_epoch),
        }
    }
}
