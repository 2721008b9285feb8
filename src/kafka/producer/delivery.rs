//! The producer's interface to the rest of the service: the data that accompanies a record, and the observer of its
//! report.

use std::sync::Arc;
use std::time::Instant;

use idaas_callback::event_type::Entity;
use outbox::{DeliveryReport, EventHandle};

use crate::kafka::availability::acceptance::Undeliverable;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::event::TrackedEvent;
use crate::telemetry::kafka::ProducerStatistics;
use crate::telemetry::spans::SendSpan;

/// The data of a record that is returned with its report.
#[derive(Clone)]
pub struct DeliveryTag {
    /// The outbox's handle of the event that the record belongs to.
    pub handle: EventHandle,
    /// The record's index among the event's records.
    pub record: u8,
    /// The entity that the record describes.
    pub entity: Entity,
    /// The time at which the record was handed over.
    pub handed_over: Instant,
    /// `eventTime`, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// The event's data for the log and the history.
    pub event: TrackedEvent,
    /// The CloudEvents type for the event's log line, if the line is enabled.
    pub logged_type: Option<Box<str>>,
    /// The record's span, if its event is traced.
    pub span: Option<Arc<SendSpan>>,
    /// The event's application.
    pub application: Arc<ApplicationMetrics>,
}

/// The position of a published record.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset. Negative if the broker already had the record.
    pub offset: i64,
}

/// Observes the producer's reports. Called on the producer's threads: must return quickly, and must not panic.
pub trait DeliveryObserver: Send + Sync {
    /// Receives the result for one record, and the time at which it arrived.
    fn report(&self, tag: DeliveryTag, topic: &str, result: (DeliveryReport, Option<Position>), at: Instant);
    /// Receives the producer's statistics, about once a second.
    fn statistics(&self, statistics: ProducerStatistics);
    /// Called when the producer was replaced, except by one with other settings.
    fn producer_recreated(&self);
    /// Called when a partition accepts records again.
    fn partitions_available(&self);
    /// Called when partitions that were not closed, or only for a moment, may count as accepting records again.
    fn may_have_recovered(&self);
    /// Called when a partition stopped accepting records. The events in `waiting` wait for it.
    fn partition_closed(&self, waiting: &[EventHandle]);
    /// Called when the number of a topic's partitions that accept no records has changed.
    fn partitions_unavailable(&self, topic: &str, partitions: usize);
    /// Called when the reason why nothing can be published has changed. `None` if records can be published.
    fn deliverability_changed(&self, problem: Option<Undeliverable>);
    /// Called when a different cluster answers at the same address.
    fn cluster_replaced(&self);
}
