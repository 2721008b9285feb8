//! The spans of a callback and its stages, according to the semantic conventions for HTTP servers.

use std::borrow::Cow;
use std::sync::Arc;

use idaas_callback::event_type::Entity;
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use outbox::EventKey;
use parking_lot::Mutex;

use super::{EventSpan, Spans, fail, inside, parse, traceparent};

const ROUTE: &str = "/callbacks/{application}";

/// The attributes of a request that its span contains.
pub struct CallbackRequest<'a> {
    /// The method, if it is a standard one, or `_OTHER`.
    pub method: &'static str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The application's configured name.
    pub application: &'a str,
    /// The request's trace context, if it is well-formed.
    pub traceparent: Option<&'a str>,
    /// True if the request's sampling decision is followed. Otherwise any sender could have everything traced.
    pub is_trusted: bool,
}

/// The trace of one callback. Does nothing if tracing is off or if the callback is not sampled.
#[derive(Clone, Default)]
pub struct CallbackTrace(Option<Arc<Traced>>);

struct Traced {
    /// The trace context of its records.
    traceparent: String,
    /// `None` if the callback is not sampled.
    recorded: Option<Recorded>,
}

struct Recorded {
    spans: Arc<Spans>,
    /// The parent of the spans of stages and events.
    context: Context,
    span: Mutex<Span>,
}

/// The span of a stage. Ends when dropped.
#[derive(Default)]
pub struct StageSpan(Option<Span>);

impl Spans {
    /// Starts the span of a callback, if it is sampled.
    #[must_use]
    pub fn callback(self: &Arc<Self>, request: &CallbackRequest<'_>) -> CallbackTrace {
        let given = request.traceparent.and_then(parse);
        let parent = match &given {
            Some(given) if request.is_trusted => Context::new().with_remote_span_context(given.clone()),
            Some(_) | None => Context::new(),
        };
        let name = match request.method {
            "POST" => Cow::Borrowed("POST /callbacks/{application}"),
            other => Cow::Owned(format!("{other} {ROUTE}")),
        };
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.is_recording() {
            // A consumer that continues the trace needs a parent that exists: the sender's, if there is one.
            let traceparent = request.traceparent.map_or_else(|| traceparent(span.span_context()), str::to_owned);
            return CallbackTrace(Some(Arc::new(Traced { traceparent, recorded: None })));
        }
        for attribute in [
            KeyValue::new("http.request.method", request.method),
            KeyValue::new("http.route", ROUTE),
            KeyValue::new("url.scheme", request.scheme),
            KeyValue::new("url.path", format!("/callbacks/{}", request.application)),
            KeyValue::new("idaas_bridge.application", request.application.to_owned()),
        ] {
            span.set_attribute(attribute);
        }
        if let Some(given) = given.filter(|_| !request.is_trusted) {
            span.add_link(given, Vec::new());
        }
        let (traceparent, context) = (traceparent(span.span_context()), inside(&span));
        let recorded = Recorded { spans: Arc::clone(self), context, span: Mutex::new(span) };
        CallbackTrace(Some(Arc::new(Traced { traceparent, recorded: Some(recorded) })))
    }
}

impl CallbackTrace {
    /// Returns the trace context for the callback's records. `None` if tracing is off.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.as_ref().map(|traced| traced.traceparent.as_str())
    }

    fn recorded(&self) -> Option<&Recorded> {
        self.0.as_ref()?.recorded.as_ref()
    }

    /// Starts the span of a stage.
    #[must_use]
    pub fn stage(&self, name: &'static str) -> StageSpan {
        let begin = |traced: &Recorded| traced.spans.begin(name, SpanKind::Internal, &traced.context, Vec::new());
        StageSpan(self.recorded().map(begin))
    }

    /// Starts the span of an event that is about to be accepted.
    #[must_use]
    pub fn event(&self, key: EventKey, id: &str, entity: Entity) -> Option<EventSpan> {
        self.recorded().map(|traced| EventSpan::begin(&traced.spans, &traced.context, (key, id, entity)))
    }

    /// Sets the size of the request body, in bytes.
    pub fn body(&self, size: usize) {
        if let Some(traced) = self.recorded() {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            traced.span.lock().set_attribute(KeyValue::new("http.request.body.size", size));
        }
    }

    /// Ends the span with the HTTP status, and with `answered` or the code of the refusal.
    pub fn answered(&self, status: u16, code: &'static str) {
        let Some(traced) = self.recorded() else { return };
        let mut span = traced.span.lock();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        span.set_attribute(KeyValue::new("idaas_bridge.code", code));
        if status >= 500 {
            fail(&mut span, code);
        }
        span.end();
    }
}

impl StageSpan {
    /// Ends the stage, and starts the next one of the same callback.
    pub fn next(&mut self, trace: &CallbackTrace, name: &'static str) {
        drop(self.0.take());
        *self = trace.stage(name);
    }

    /// Ends the stage. It has failed if `refusal`, a code, is set.
    pub fn end(mut self, refusal: Option<&'static str>) {
        if let Some((span, code)) = self.0.as_mut().zip(refusal) {
            fail(span, code);
        }
    }
}
