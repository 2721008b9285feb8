//! The trace of a callback: its incoming context, and whether the sender's sampling decision is trusted.

use actix_web::HttpRequest;
use actix_web::http::Method;

use super::address;
use crate::app_state::{AppState, Application};
use crate::telemetry::spans::{CallbackRequest, CallbackTrace};

/// Starts the trace of a callback. Returns an empty one if tracing is off.
pub(super) fn start_span(request: &HttpRequest, app_state: &AppState, application: &Application) -> CallbackTrace {
    let Some(spans) = app_state.dispatcher.spans() else { return CallbackTrace::default() };
    let peer = request.peer_addr().map(|peer| peer.ip());
    spans.callback(&CallbackRequest {
        method: method(request.method()),
        scheme: if request.app_config().secure() { "https" } else { "http" },
        application: &application.name,
        traceparent: context(request),
        is_trusted: peer.is_some_and(|peer| address::contains(&app_state.limits.trusted_proxies, peer)),
    })
}

/// Returns the request's trace context if it is well-formed.
pub(super) fn context(request: &HttpRequest) -> Option<&str> {
    request.headers().get("traceparent").and_then(|value| trace_context(value.as_bytes()))
}

/// Returns the method if the HTTP semantic conventions know it, otherwise `_OTHER`.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Validates a W3C trace context (Trace Context §3.2.2). Returns `None` if it is malformed.
fn trace_context(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<_> = text.split('-').collect();
    let sound = matches!(parts.as_slice(), ["00", trace, parent, flags]
        if trace.len() == 32 && parent.len() == 16 && flags.len() == 2
            && [trace, parent].iter().all(|id| id.bytes().any(|byte| byte != b'0')));
    (sound && parts.iter().all(|part| hex(part))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_context_is_passed_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_context(good.as_bytes()), Some(good));
        for bad in ["", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-x-y-01", "00-00-00"]
            .into_iter()
            .chain(["00-00000000000000000000000000000000-00f067aa0ba902b7-01"])
            .chain(["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"])
        {
            assert_eq!(trace_context(bad.as_bytes()), None, "{bad}");
        }
    }
}
