//! Distributed tracing: OpenTelemetry spans of callbacks and their events, exported over OTLP. Off unless `[tracing]`
//! is configured. Only this module uses the `opentelemetry` crates.
//!
//! Spans contain ids, codes, topics and positions. They never contain a record's key or value, or personal data.

mod callback;
mod event;
mod exporter;
mod metrics;
mod send;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use outbox::Seq;
use parking_lot::Mutex;

pub use self::callback::{CallbackRequest, CallbackTrace, StageSpan};
pub use self::event::{EventContext, EventSpan};
pub use self::metrics::SpanMetrics;
pub use self::send::SendSpan;

use self::event::FirstDeliveries;
use self::exporter::Exporter;
use crate::config::Tracing;
use crate::http_client::HttpFault;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Creates spans and exports them. Exists only if tracing is on.
pub struct Spans {
    tracer: SdkTracer,
    exporter: Exporter,
    first_deliveries: Mutex<FirstDeliveries>,
    /// The spans of journal writes in progress.
    journal_writes: Mutex<HashMap<Seq, Span>>,
}

impl Spans {
    /// Starts exporting. Must be called within a tokio runtime. `ca` is the content of `tracing.otlp_ca`.
    ///
    /// # Errors
    /// [`HttpFault`] if `ca` cannot be read, or if the HTTP client cannot be set up.
    pub fn start(config: &Tracing, ca: Option<&[u8]>, metrics: &SpanMetrics) -> Result<Arc<Self>, HttpFault> {
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", VERSION))
            .build();
        let (queue, exporter) = Exporter::start(config, ca, &resource, metrics)?;
        let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let scope = InstrumentationScope::builder("idaas-bridge").with_version(VERSION).build();
        Ok(Arc::new(Self {
            tracer: provider.tracer_with_scope(scope),
            exporter,
            first_deliveries: Mutex::default(),
            journal_writes: Mutex::default(),
        }))
    }

    /// Exports the remaining spans, for at most a second, and stops.
    pub async fn end(&self) {
        self.exporter.end().await;
    }

    fn begin(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: &Context,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        self.tracer.build_with_context(builder, parent)
    }
}

/// Returns the context for children of `span`.
fn inside(span: &Span) -> Context {
    Context::new().with_remote_span_context(span.span_context().clone())
}

/// Marks a span as failed, with the code of the failure.
fn fail(span: &mut Span, code: &'static str) {
    span.set_attribute(KeyValue::new("error.type", code));
    span.set_status(Status::error(code));
}

/// Parses a W3C trace context, version 00.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// Formats a W3C trace context, version 00.
fn traceparent(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_written_as_it_was_read() {
        for text in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-000000000000000000000000000000a1-000000000000000b-00",
        ] {
            assert_eq!(parse(text).map(|context| traceparent(&context)).as_deref(), Some(text));
        }
        for text in ["", "00-1-1", "00-0-0-00", "01-1-1-01", "00-1-1-01-more", "00-x-1-01"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
