//! The way of one callback through HTTP: who sends it, what it is, what it is answered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{self, ContentType, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use idaas_callback::{Prepared, Refusal, RequestContext, prepare_observed, to_quarantine};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer};
use super::refusal_log::RefusalLog;
use super::{address, body, trace};
use crate::app_state::{AppState, Application};
use crate::journal::Quarantined;
use crate::telemetry::metrics::Gauge;
use crate::telemetry::spans::{CallbackTrace, StageSpan};

/// The content type of every answer, as IDaaS writes it.
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=utf-8");

/// Beyond this size a callback is prepared on another thread, so that it does not hold up its neighbours. In bytes.
const LARGE_BODY: usize = 128 << 10;

/// Where load balancers that see only this listener ask for its health.
const HEALTH: &str = "/healthz";

/// Takes whatever is sent to the callback listener: `POST /callbacks/{application}`, or what is refused.
pub(super) async fn callback(
    request: HttpRequest,
    payload: Payload,
    app_state: Data<AppState>,
    log: Data<RefusalLog>,
) -> HttpResponse {
    let began = Instant::now();
    if request.path() == HEALTH && (request.method() == Method::GET || request.method() == Method::HEAD) {
        return health(&app_state);
    }
    let sender = sender(&request, &app_state);
    let name = request.path().strip_prefix("/callbacks/");
    let Some(application) = name.and_then(|name| app_state.application(name)) else {
        app_state.metrics.unknown.inc();
        return refuse(Refusal::NotFound, "unknown", sender, (&app_state, &log));
    };
    let trace = trace::start_span(&request, &app_state, &application);
    let taken = {
        let _in_flight = InFlight::of(&app_state.metrics.callbacks_in_flight);
        take(&request, payload, &app_state, &application, sender, (began, &trace)).await
    };
    trace.answered(taken.as_ref().err().map_or(200, |refusal| refusal.status()), code(&taken));
    let metrics = &application.metrics;
    metrics.callback_duration.observe(began.elapsed().as_secs_f64());
    match taken {
        Err(refusal) => {
            metrics.callback(Some(refusal));
            refuse(refusal, &application.name, sender, (&app_state, &log))
        }
        Ok(answer) => {
            metrics.callback(None);
            respond(StatusCode::OK, &app_state).body(answer.to_json())
        }
    }
}

/// Whether callbacks are accepted. Probes come every few seconds, so this is neither logged nor counted.
fn health(app_state: &AppState) -> HttpResponse {
    let (status, text) = if app_state.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    };
    let mut response = HttpResponse::build(status);
    if app_state.is_draining() {
        response.force_close();
    }
    response.content_type(ContentType::plaintext()).body(text)
}

/// Counts a callback while it is worked on; also one whose sender resets the connection, which ends the work at once.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn of(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn take(
    request: &HttpRequest,
    payload: Payload,
    app_state: &AppState,
    application: &Arc<Application>,
    sender: Option<IpAddr>,
    (began, trace): (Instant, &CallbackTrace),
) -> Result<Answer, Refusal> {
    if !sender.is_some_and(|sender| address::contains(&application.networks, sender)) {
        return Err(Refusal::AddressNotAllowed);
    }
    if request.method() != Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    if app_state.is_draining() {
        return Err(Refusal::Draining);
    }
    let deadline = began + app_state.limits.response_deadline;
    let reading = trace.stage("read body");
    let body = body::read(request, payload, app_state, deadline).await?;
    drop(reading);
    trace.body(body.bytes.len());
    let prepared = timeout_at(deadline, prepared(request, body.bytes, app_state, application, trace));
    let prepared = match prepared.await.unwrap_or_else(|_| Err(Refusal::Overloaded.into())) {
        Ok(prepared) => prepared,
        Err(Rejected { refusal, kept: None }) => return Err(refusal),
        Err(Rejected { refusal, kept: Some(callback) }) => {
            // What is authentic and cannot be read now is not lost; only if it could not be kept has it to come again. A
            // disk that is slow goes on with it, and nothing is promised before it has ended.
            let kept = timeout_at(deadline, app_state.dispatcher.quarantine(*callback)).await.unwrap_or(false);
            return Err(if kept { refusal } else { Refusal::Overloaded });
        }
    };
    if let Some(position) = prepared.decryption_key {
        application.metrics.decrypted(position);
    }
    application.metrics.authentic(seconds(now()));
    let delivered = app_state.dispatcher.deliver(prepared.events, &application.source, deadline, trace).await;
    delivered.map(Answer).map_err(|_| Refusal::Overloaded)
}

/// A callback of which no records can be made; and what is to be kept of it.
struct Rejected {
    refusal: Refusal,
    kept: Option<Box<Quarantined>>,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, kept: None }
    }
}

/// Makes records of a body, here or, where it is large, on another thread.
async fn prepared(
    request: &HttpRequest,
    body: Bytes,
    app_state: &AppState,
    application: &Arc<Application>,
    trace: &CallbackTrace,
) -> Result<Prepared, Rejected> {
    let traceparent = trace.traceparent().or_else(|| trace::context(request)).map(str::to_owned);
    let keys = application.keys.current().as_ref().map(Arc::clone).ok_or_else(|| {
        application.keys.unknown_kid();
        Refusal::KeysUnavailable
    })?;
    let (application, trace) = (Arc::clone(application), trace.clone());
    let large = body.len() > LARGE_BODY;
    let work = move || {
        let context = RequestContext { received_at: now(), traceparent: traceparent.as_deref() };
        let mut stage = StageSpan::default();
        let prepared = prepare_observed(&body, &keys.set, &application.policy, context, |begun| {
            stage.next(&trace, begun.name());
        });
        stage.end(prepared.as_ref().err().map(|refusal| refusal.code()));
        match prepared {
            Err(Refusal::UnknownKey) => application.keys.unknown_kid(),
            Err(Refusal::BadSignature) => application.keys.bad_signature(),
            Ok(_) | Err(_) => {}
        }
        prepared.map_err(|refusal| {
            let callback = (refusal.is_quarantined())
                .then(|| to_quarantine(&body, &keys.set, &application.policy, context))
                .flatten();
            let kept = callback.map(|callback| {
                Box::new(Quarantined {
                    application: application.name.clone(),
                    reason: refusal,
                    received_at: context.received_at,
                    traceparent: traceparent.clone(),
                    callback,
                })
            });
            Rejected { refusal, kept }
        })
    };
    if !large {
        return work();
    }
    // The semaphore is never closed, the pool ends only with the process, and nothing in the work panics.
    let _turn = app_state.large.acquire().await;
    actix_web::web::block(work).await.unwrap_or(Err(Refusal::Overloaded.into()))
}

fn sender(request: &HttpRequest, app_state: &AppState) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    // A line that is no text names no address; it must not be passed over either.
    let lines: Vec<_> = request.headers().get_all("x-forwarded-for").map(|v| v.to_str().unwrap_or("?")).collect();
    address::sender(peer, lines.into_iter(), &app_state.limits.trusted_proxies)
}

fn refuse(
    refusal: Refusal,
    application: &str,
    sender: Option<IpAddr>,
    (app_state, log): (&AppState, &RefusalLog),
) -> HttpResponse {
    log.refused(refusal, application, sender);
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, app_state);
    if let Some(after) = refusal.retry_after() {
        response.insert_header((header::RETRY_AFTER, after));
    }
    if refusal == Refusal::MethodNotAllowed {
        response.insert_header((header::ALLOW, "POST"));
    }
    response.body(answer::refusal(refusal))
}

fn respond(status: StatusCode, app_state: &AppState) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, JSON));
    if app_state.is_draining() {
        // The sender's next request goes to somebody who stays.
        response.force_close();
    }
    response
}

/// The code of an answer in its span.
fn code(taken: &Result<Answer, Refusal>) -> &'static str {
    taken.as_ref().err().map_or("answered", |refusal| refusal.code())
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

const fn seconds(milliseconds: i64) -> i64 {
    milliseconds / 1000
}
