//! The HTTP handler for callbacks: from the sender's address to the answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use idaas_callback::{Prepared, Refusal, RequestContext, to_quarantine};
use tokio::time::{Instant, sleep, timeout_at};

use super::connections::InProgress;
use super::refusal_log::RefusalLog;
use super::{address, answer, body, trace};
use crate::app_state::{AppState, Application, QuarantineRedrive};
use crate::clock;
use crate::delivery::request::EventVerdict;
use crate::journal::{QuarantineId, Quarantined};
use crate::telemetry::metrics::Gauge;
use crate::telemetry::spans::{CallbackTrace, StageSpan};

/// Larger bodies, in bytes, are prepared on another thread, so that they do not delay other requests.
const MAX_INLINE_BODY: usize = 128 << 10;

/// How often, and at which interval, a callback is tried again that was quarantined during a reload. A slow disk can
/// delay it.
const MAX_REDRIVES: usize = 30;
const REDRIVE_INTERVAL: Duration = Duration::from_secs(1);

/// The health endpoint for load balancers that can reach only this listener.
pub(crate) const HEALTH: &str = "/healthz";

/// Handles every request to the callback listener: `POST /callbacks/{application}`, health probes, and anything else,
/// which is rejected.
pub(super) async fn callback(
    request: HttpRequest,
    payload: Payload,
    app_state: Data<AppState>,
    log: Data<RefusalLog>,
) -> HttpResponse {
    let began = Instant::now();
    let _in_progress = InProgress::of(&request);
    if request.path() == HEALTH && (request.method() == Method::GET || request.method() == Method::HEAD) {
        return health(&app_state);
    }
    let sender = address::sender(&request, &app_state.limits.trusted_proxies);
    let name = request.path().strip_prefix("/callbacks/");
    let Some(application) = name.and_then(|name| app_state.application(name)) else {
        app_state.metrics.unknown.inc();
        log.refused(Refusal::NotFound, "unknown", sender);
        return answer::refusal(Refusal::NotFound, &app_state);
    };
    let trace = trace::start_span(&request, &app_state, &application);
    let outcome = {
        let _in_flight = InFlight::of(&app_state.metrics.callbacks_in_flight);
        process(&request, payload, &app_state, &application, sender, (began, &trace)).await
    };
    let refusal = outcome.as_ref().err().copied();
    trace.answered(refusal.map_or(200, Refusal::status), refusal.map_or("answered", Refusal::code));
    application.metrics.callback_duration.observe(began.elapsed().as_secs_f64());
    application.metrics.callback(refusal);
    match outcome {
        Ok(verdicts) => answer::verdicts(&verdicts, &app_state),
        Err(refusal) => {
            log.refused(refusal, &application.name, sender);
            answer::refusal(refusal, &app_state)
        }
    }
}

/// Returns 200, or 503 during the drain. Neither logged nor counted, because probes come every few seconds.
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

/// Counts a callback while it is processed, including one that is cancelled because the sender resets the connection.
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

/// Handles a callback, from its body to the verdicts on its events.
async fn process(
    request: &HttpRequest,
    payload: Payload,
    app_state: &Data<AppState>,
    application: &Arc<Application>,
    sender: Option<IpAddr>,
    (began, trace): (Instant, &CallbackTrace),
) -> Result<Vec<EventVerdict>, Refusal> {
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
    // A reload while the body arrived can have brought the key that it needs.
    let current = app_state.application(&application.name);
    let application = current.as_ref().unwrap_or(application);
    let prepared = timeout_at(deadline, prepare(request, body.bytes, app_state, application, trace)).await;
    let prepared = match prepared.unwrap_or_else(|_| Err(Refusal::Overloaded.into())) {
        Ok(prepared) => prepared,
        Err(refused) => return Err(quarantine(refused, app_state, application, deadline).await),
    };
    if let Some(position) = prepared.decryption_key {
        application.metrics.decrypted(position);
    }
    application.metrics.record_callback_time(seconds(clock::now()));
    app_state.dispatcher.deliver(prepared.events, &application.owner, deadline, trace).await
}

/// A callback that yields no records. If it is authentic, it carries the data to quarantine.
struct RefusedCallback {
    refusal: Refusal,
    callback: Option<Box<Quarantined>>,
}

impl From<Refusal> for RefusedCallback {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, callback: None }
    }
}

/// Quarantines a rejected callback if it is authentic. Returns the refusal to answer with: [`Refusal::Overloaded`] if
/// the callback is not durable by the deadline, so that IDaaS sends it again. A write that is late continues in the
/// background.
async fn quarantine(
    refused: RefusedCallback,
    app_state: &Data<AppState>,
    application: &Arc<Application>,
    deadline: Instant,
) -> Refusal {
    let Some(callback) = refused.callback else { return refused.refusal };
    let id = callback.id();
    let durable = timeout_at(deadline, app_state.dispatcher.quarantine(*callback)).await.unwrap_or(false);
    let current = app_state.application(&application.name);
    if !current.is_some_and(|current| Arc::ptr_eq(&current, application)) {
        // The reload meanwhile may have listed the quarantine without this callback.
        tokio::spawn(redrive(Arc::clone(app_state), id));
    }
    if durable { refused.refusal } else { Refusal::Overloaded }
}

/// Tries to publish a callback that is in quarantine, or soon will be.
async fn redrive(app_state: Arc<AppState>, id: QuarantineId) {
    for _ in 0..MAX_REDRIVES {
        match app_state.redrive(id).await {
            Ok(
                QuarantineRedrive::Published(_)
                | QuarantineRedrive::StillUnreadable(_)
                | QuarantineRedrive::NotConfigured,
            ) => return,
            Ok(QuarantineRedrive::NotAccepted | QuarantineRedrive::Missing) | Err(_) => sleep(REDRIVE_INTERVAL).await,
        }
    }
}

/// Builds the records of a body. A large body is prepared on another thread.
async fn prepare(
    request: &HttpRequest,
    body: Bytes,
    app_state: &AppState,
    application: &Arc<Application>,
    trace: &CallbackTrace,
) -> Result<Prepared, RefusedCallback> {
    let traceparent = trace.traceparent().or_else(|| trace::context(request)).map(str::to_owned);
    let keys = application.keys.current().as_ref().map(Arc::clone).ok_or_else(|| {
        application.keys.refresh_after_unknown_kid();
        Refusal::KeysUnavailable
    })?;
    let (application, trace) = (Arc::clone(application), trace.clone());
    let large = body.len() > MAX_INLINE_BODY;
    let work = move || {
        let context = RequestContext { received_at: clock::now(), traceparent: traceparent.as_deref() };
        let mut stage = StageSpan::default();
        let prepared = idaas_callback::prepare(&body, &keys.set, &application.policy, context, |begun| {
            stage.next(&trace, begun.name());
        });
        stage.end(prepared.as_ref().err().map(|refusal| refusal.code()));
        match prepared {
            Err(Refusal::UnknownKey) => application.keys.refresh_after_unknown_kid(),
            Err(Refusal::BadSignature) => application.keys.refresh_after_bad_signature(),
            Ok(_) | Err(_) => {}
        }
        prepared.map_err(|refusal| {
            let callback = (refusal.is_quarantined())
                .then(|| to_quarantine(&body, &keys.set, &application.policy, context))
                .flatten();
            let callback = callback.map(|callback| {
                Box::new(Quarantined {
                    application: application.name.clone(),
                    reason: refusal,
                    received_at: context.received_at,
                    traceparent: traceparent.clone(),
                    callback,
                })
            });
            RefusedCallback { refusal, callback }
        })
    };
    if !large {
        return work();
    }
    // Neither can fail: the semaphore is never closed, the pool lasts as long as the process, and the work does not
    // panic.
    let _permit = app_state.large_callbacks.acquire().await;
    actix_web::web::block(work).await.unwrap_or(Err(Refusal::Overloaded.into()))
}

const fn seconds(milliseconds: i64) -> i64 {
    milliseconds / 1000
}
