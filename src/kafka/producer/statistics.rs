//! Takes from librdkafka's statistics what the metrics and the health of the producer need.

use rdkafka::statistics::Statistics;

use crate::telemetry::kafka::ProducerStatistics;

/// Returns the values that the metrics show.
pub(super) fn producer_statistics(statistics: &Statistics) -> ProducerStatistics {
    let brokers = statistics.brokers.values();
    ProducerStatistics {
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
    }
}

/// Returns the idempotent producer's epoch. −1 while it has none.
pub(super) fn epoch(statistics: &Statistics) -> i64 {
    statistics.eos.as_ref().map_or(-1, |eos| eos.producer_epoch)
}
