//! Hands an event's records to the producer, and traces what becomes of them.

use std::sync::Arc;
use std::time::Instant;

use outbox::{DeliveryReport, EventHandle, FailureCode, Seq, bit};

use super::event_log::{self, EventLine};
use super::executor::Executor;
use super::publication::EventPublication;
use crate::journal::JournalRejection;
use crate::kafka::producer::{DeliveryOpaque, Position};

impl Executor {
    /// Hands the records over whose bits are not set in `confirmed`.
    pub(super) fn produce(
        &self,
        token: EventHandle,
        package: &EventPublication,
        confirmed: u8,
        failed: &mut Vec<(EventHandle, u8, DeliveryReport)>,
    ) {
        let producer = self.producer.load();
        let handed_over = Instant::now();
        for (index, record) in (0..).zip(package.record_list()) {
            if confirmed & bit(index) != 0 {
                continue;
            }
            let trace = self.spans.get().zip(package.trace.as_ref());
            let span = trace.map(|(spans, event)| spans.send(event, record, package.id.text()));
            let ticket = DeliveryOpaque {
                token,
                record: index,
                entity: record.entity,
                handed_over,
                event_time: package.event_time,
                event: event_log::tracked(package, record),
                line: EventLine::of(package, record),
                span: span.clone(),
                application: Arc::clone(&package.source.metrics),
            };
            let none = Err(DeliveryReport::Failed(FailureCode::ProducerFailed));
            let sent = producer.as_ref().map_or(none, |producer| producer.send(record, ticket));
            if let Err(report) = sent {
                if let Some(span) = span {
                    span.end(report, None);
                }
                failed.push((token, index, report));
            }
        }
    }

    /// An event is about to be written to the journal.
    pub(super) fn trace_write(&self, seq: Seq, package: &EventPublication) {
        if let Some((spans, event)) = self.spans.get().zip(package.trace.as_ref()) {
            spans.journal_write(seq, event);
        }
    }

    /// These events are synced in the journal, or it has rejected them.
    pub(super) fn trace_written(&self, entries: &[Seq], rejection: Option<JournalRejection>) {
        if let Some(spans) = self.spans.get() {
            spans.journal_written(entries, rejection.map(JournalRejection::code));
        }
    }
}

/// A record has its delivery report.
pub(super) fn trace_report(ticket: &DeliveryOpaque, report: DeliveryReport, position: Option<Position>) {
    if let Some(span) = &ticket.span {
        span.end(report, position.map(|position| (position.partition, position.offset)));
    }
}
