//! The spans of an event, from its acceptance to its answer, and of its write to the journal.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use idaas_callback::event_type::Entity;
use idaas_callback::headers::HeaderName;
use idaas_callback::record::Record;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use outbox::machine::Admitted;
use outbox::verdict::Verdict;
use outbox::{EventKey, Hashed, Seq};

use super::{Spans, fail, inside, parse};

/// The number of sampled events that are remembered, so that a redelivery can link to the first delivery.
const MAX_FIRST_DELIVERIES: usize = 8192;

/// The parent of the spans of an event's records.
#[derive(Clone)]
pub struct EventContext(pub(super) Arc<Context>);

/// The span of one delivery of an event, from its acceptance to its verdict.
pub struct EventSpan {
    spans: Arc<Spans>,
    key: EventKey,
    span: Span,
}

/// The span contexts of the latest sampled events.
#[derive(Default)]
pub(super) struct FirstDeliveries {
    contexts: HashMap<EventKey, SpanContext, Hashed>,
    order: VecDeque<EventKey>,
}

impl FirstDeliveries {
    fn remember(&mut self, key: EventKey, context: SpanContext) {
        if self.contexts.insert(key, context).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > MAX_FIRST_DELIVERIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.contexts.remove(&oldest);
        }
    }
}

impl EventSpan {
    pub(super) fn begin(spans: &Arc<Spans>, parent: &Context, (key, id, entity): (EventKey, &str, Entity)) -> Self {
        let attributes = vec![
            KeyValue::new("cloudevents.event_id", id.to_owned()),
            KeyValue::new("idaas_bridge.entity", entity.name()),
        ];
        let span = spans.begin("process event", SpanKind::Internal, parent, attributes);
        Self { spans: Arc::clone(spans), key, span }
    }

    /// Returns the parent for the spans of the event's records.
    #[must_use]
    pub fn context(&self) -> EventContext {
        EventContext(Arc::new(inside(&self.span)))
    }

    /// Records that the outbox has accepted the event. A redelivery links to the first delivery, if that was
    /// sampled.
    pub fn admitted(&mut self, admitted: Admitted) {
        let mut first = self.spans.first_deliveries.lock();
        let admission = match admitted {
            Admitted::New => {
                first.remember(self.key, self.span.span_context().clone());
                "new"
            }
            Admitted::Joined => "in_progress",
            Admitted::Known(verdict) if verdict.is_final() => "known",
            Admitted::Known(_) => "not_accepted",
        };
        let link = first.contexts.get(&self.key).filter(|first| *first != self.span.span_context()).cloned();
        drop(first);
        if let Some(first) = link {
            self.span.add_link(first, Vec::new());
        }
        self.span.set_attribute(KeyValue::new("idaas_bridge.admission", admission));
    }

    /// Ends the span with the verdict.
    pub fn answered(mut self, verdict: Verdict) {
        self.span.set_attribute(KeyValue::new("idaas_bridge.verdict", verdict.code()));
        self.span.end();
    }
}

impl Spans {
    /// Returns the parent for the spans of a record that was read from the journal: the span of the original
    /// callback, if that was sampled.
    #[must_use]
    pub fn resumed(&self, record: &Record) -> Option<EventContext> {
        let context = parse(traceparent_of(record)?)?;
        context.is_sampled().then(|| EventContext(Arc::new(Context::new().with_remote_span_context(context))))
    }

    /// Starts the span of a journal write.
    pub fn journal_write(&self, seq: Seq, event: &EventContext) {
        let span = self.begin("write to journal", SpanKind::Internal, &event.0, Vec::new());
        self.journal_writes.lock().insert(seq, span);
    }

    /// Ends the spans of journal writes, which were synced or rejected with this code.
    pub fn journal_written(&self, entries: &[Seq], rejection: Option<&'static str>) {
        let mut writes = self.journal_writes.lock();
        if writes.is_empty() {
            return;
        }
        for seq in entries {
            if let (Some(mut span), Some(code)) = (writes.remove(seq), rejection) {
                fail(&mut span, code);
            }
        }
    }
}

/// Returns the trace context of a record's event, from a header or from a structured value before `data`.
fn traceparent_of(record: &Record) -> Option<&str> {
    if let Some(value) = record.headers.get(HeaderName::TraceParent) {
        return Some(value);
    }
    // Quotation marks within strings are escaped, so this match cannot be inside a string.
    let head = record.value.get(..record.value.len().min(STRUCTURED_HEAD))?;
    let begin = find(head, TRACEPARENT_MEMBER)? + TRACEPARENT_MEMBER.len();
    std::str::from_utf8(head.get(begin..begin + TRACEPARENT_LENGTH)?).ok()
}

const TRACEPARENT_MEMBER: &[u8] = b"\"traceparent\":\"";
const TRACEPARENT_LENGTH: usize = 55;
/// The maximum size of the attributes of a structured event, in bytes.
const STRUCTURED_HEAD: usize = 4096;

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
