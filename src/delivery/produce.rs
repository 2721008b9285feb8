//! Hands an event's records to the producer, and records the results.

use std::sync::Arc;
use std::time::Instant;

use outbox::verdict::Verdict;
use outbox::{DeliveryReport, EventHandle, FailureCode, Seq, record_bit};

use super::event_log;
use super::executor::Executor;
use super::publication::EventPublication;
use crate::clock;
use crate::journal::JournalRejection;
use crate::kafka::producer::delivery::{DeliveryTag, Position};

impl Executor {
    /// Hands the records whose bits are not set in `confirmed` to the producer.
    pub(super) fn produce(
        &self,
        handle: EventHandle,
        publication: &EventPublication,
        confirmed: u8,
        failed: &mut Vec<(EventHandle, u8, DeliveryReport)>,
    ) {
        let producer = self.producer.load();
        let handed_over = Instant::now();
        for (index, record) in (0..).zip(publication.all_records()) {
            if confirmed & record_bit(index) != 0 {
                continue;
            }
            let trace = self.spans.get().zip(publication.trace.as_ref());
            let span = trace.map(|(spans, event)| spans.send(event, record, publication.id.text()));
            let tag = DeliveryTag {
                handle,
                record: index,
                entity: record.entity,
                handed_over,
                event_time: publication.event_time,
                event: event_log::tracked(publication, record),
                logged_type: event_log::logged_type(record),
                span: span.clone(),
                application: Arc::clone(&publication.owner.metrics),
            };
            let none = Err(DeliveryReport::Failed(FailureCode::ProducerFailed));
            let sent = producer.as_ref().map_or(none, |producer| producer.send(record, tag));
            if let Err(report) = sent {
                if let Some(span) = span {
                    span.end(report, None);
                }
                failed.push((handle, index, report));
            }
        }
    }

    /// Counts, logs and adds to the history a record that Kafka has confirmed.
    pub(super) fn record_confirmation(&self, tag: DeliveryTag, topic: &str, position: Position, at: Instant) {
        let took = at.saturating_duration_since(tag.handed_over);
        tag.application.published(tag.entity);
        // A dead letter is a single record, so it is confirmed once.
        if let Verdict::DeadLettered(reason) = tag.event.verdict {
            tag.application.dead_letter(reason);
        }
        self.metrics.publish_duration(tag.entity).observe(took.as_secs_f64());
        let now = clock::since_1970();
        if let Some(event_time) = tag.event_time {
            let age = now.as_secs_f64() - event_time as f64 / 1000.0;
            self.metrics.event_age(tag.entity).observe(age.max(0.0));
        }
        event_log::published(&self.metrics, tag, topic, position, (now, took));
    }

    /// Traces that an event is about to be written to the journal.
    pub(super) fn trace_write(&self, seq: Seq, publication: &EventPublication) {
        if let Some((spans, event)) = self.spans.get().zip(publication.trace.as_ref()) {
            spans.journal_write(seq, event);
        }
    }

    /// Traces that these events are synced in the journal, or rejected by it.
    pub(super) fn trace_written(&self, entries: &[Seq], rejection: Option<JournalRejection>) {
        if let Some(spans) = self.spans.get() {
            spans.journal_written(entries, rejection.map(JournalRejection::code));
        }
    }
}

/// Traces the delivery report of a record.
pub(super) fn trace_report(tag: &DeliveryTag, report: DeliveryReport, position: Option<Position>) {
    if let Some(span) = &tag.span {
        span.end(report, position.map(|position| (position.partition, position.offset)));
    }
}
