//! The producer, as the rest of the service knows it: what goes with a record, and who is told what becomes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use idaas_callback::event_type::Entity;
use outbox::{DeliveryReport, EventHandle};

use super::statistics::ProducerStatistics;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::event::TrackedEvent;
use crate::telemetry::spans::SendSpan;

/// What comes back with the report on a record.
#[derive(Clone)]
pub struct DeliveryOpaque {
    /// The event of which the record is a part, as the outbox knows it.
    pub handle: EventHandle,
    /// The record's index among the event's records.
    pub record: u8,
    /// What the record is about.
    pub entity: Entity,
    /// When the record was handed over.
    pub handed_over: Instant,
    /// `eventTime`, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// What the log and the history need to know of it.
    pub event: TrackedEvent,
    /// The CloudEvents type for the event's log line, if somebody reads the line.
    pub logged_type: Option<Box<str>>,
    /// The record's span, if its event is traced.
    pub span: Option<Arc<SendSpan>>,
    /// Whose event it is.
    pub application: Arc<ApplicationMetrics>,
}

/// Where a record came to stand.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset; negative where the broker found it had the record already.
    pub offset: i64,
}

/// Why nothing can be published, although brokers answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undeliverable {
    /// The Kafka user may not write.
    NotAuthorized,
    /// No leader can be reached at the address that the brokers advertise: these.
    Unreachable(Vec<String>),
    /// Every partition that records were sent to fails.
    AllFailing,
}

/// For people.
impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthorized => f.write_str("the Kafka user may not write; grant it WRITE on the topics"),
            Self::Unreachable(addresses) => write!(
                f,
                "no partition's leader can be reached at the address that it advertises ({}); see advertised.listeners of \
                 the brokers, and firewalls",
                addresses.join(", ")
            ),
            Self::AllFailing => f.write_str("every partition that records were sent to fails; see the brokers' logs"),
        }
    }
}

/// Who takes the producer's reports. Called on threads of the producer: must be quick, and never panic.
pub trait DeliveryObserver: Send + Sync {
    /// What the broker said of one record.
    fn report(&self, opaque: DeliveryOpaque, topic: &str, report: DeliveryReport, position: Option<Position>);
    /// The producer's state, about once a second.
    fn state(&self, state: ProducerStatistics);
    /// The producer was replaced by a new one.
    fn recreated(&self);
    /// A partition that took no records takes them again.
    fn partitions_recovered(&self);
    /// A partition takes no records; these events wait for it.
    fn partition_closed(&self, waiting: &[EventHandle]);
    /// How many partitions of a topic take no records at the moment.
    fn partitions_unavailable(&self, topic: &str, partitions: usize);
    /// Whether anything can be published, if brokers answer; told at each change.
    fn deliverable(&self, problem: Option<Undeliverable>);
    /// Another cluster answers at the same address.
    fn cluster_replaced(&self);
}
