//! The span of a record from the producer to the delivery report, according to the semantic conventions for
//! messaging.

use std::sync::Arc;

use idaas_callback::headers::HeaderName;
use idaas_callback::record::Record;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind};
use opentelemetry_sdk::trace::Span;
use outbox::{DeliveryReport, FailureCode};
use parking_lot::Mutex;

use super::{EventContext, Spans, fail, traceparent};

/// The span of an attempt to send a record.
pub struct SendSpan {
    traceparent: String,
    span: Mutex<Span>,
}

impl Spans {
    /// Starts the span of a record that is about to be sent. `id` is the event's id.
    #[must_use]
    pub fn send(&self, event: &EventContext, record: &Record, id: &str) -> Arc<SendSpan> {
        let size = i64::try_from(record.value.len()).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", Arc::<str>::clone(&record.topic)),
            KeyValue::new("messaging.message.body.size", size),
            KeyValue::new("cloudevents.event_id", id.to_owned()),
        ];
        let kind = record.headers.get(HeaderName::Type);
        attributes.extend(kind.map(|kind| KeyValue::new("cloudevents.event_type", kind.to_owned())));
        let span = self.begin(format!("send {}", record.topic), SpanKind::Producer, &event.0, attributes);
        Arc::new(SendSpan { traceparent: traceparent(span.span_context()), span: Mutex::new(span) })
    }
}

impl SendSpan {
    /// Returns the trace context for the record's header `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Ends the span with the delivery report, and with partition and offset if the record is confirmed.
    pub fn end(&self, report: DeliveryReport, position: Option<(i32, i64)>) {
        let mut span = self.span.lock();
        if let Some((partition, offset)) = position {
            span.set_attribute(KeyValue::new("messaging.destination.partition.id", partition.to_string()));
            span.set_attribute(KeyValue::new("messaging.kafka.offset", offset));
        }
        match report {
            DeliveryReport::Confirmed => {}
            DeliveryReport::Rejected(code) | DeliveryReport::Failed(code) | DeliveryReport::NotSent(code) => {
                fail(&mut span, code.code())
            }
            DeliveryReport::QueueFull => fail(&mut span, FailureCode::QueueFull.code()),
        }
        span.end();
    }
}
