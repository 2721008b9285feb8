//! The journal on the admin listener: summary, export, and operations on single entries and quarantined callbacks.
//!
//! A website in an operator's browser must not be able to send these requests. So each request must carry a custom
//! header, which a page of another origin cannot set without a CORS permission that is never given. It must also
//! address this host by `localhost` or an IP address, which excludes DNS rebinding.

mod entry_kind;

use std::net::IpAddr;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::web::{Data, Path, Query, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use futures_util::future::{Either, Ready, ready};
use serde::Deserialize;
use serde_json::Value;

pub use self::entry_kind::EntryKind;
use crate::app_state::AppState;
use crate::journal::admin::{CALLBACKS_PER_PAGE, ENTRIES_PER_PAGE, Lookup};
use crate::journal::{JournalAdmin, JournalRejection, QuarantineId};
use crate::telemetry::log_code::LogCode;

/// Name and value of the header that every request must carry.
pub const HEADER: (&str, &str) = ("x-idaas-bridge", "journal");

/// Response header with the start of an export's next page: the value for the parameter `from` or `quarantine`.
pub const NEXT: &str = "x-next";

/// Default number of single entries in a summary.
const SHOWN: usize = 20;

#[derive(Deserialize)]
struct SummaryQuery {
    entries: Option<usize>,
}

#[derive(Deserialize)]
struct ExportQuery {
    from: Option<u64>,
    quarantine: Option<String>,
}

#[derive(Deserialize)]
struct EntriesQuery {
    about: String,
}

/// Adds the routes of the journal and the quarantine.
pub(super) fn routes(config: &mut ServiceConfig) {
    let read = || web::route().guard(actix_web::guard::Any(actix_web::guard::Get()).or(actix_web::guard::Head()));
    let journal = web::scope("/journal")
        .wrap_fn(require_csrf_safe)
        .route("", read().to(summary))
        .route("/export", read().to(export))
        .route("/entries", read().to(entries))
        .route("/entries/{id:.+}/redrive", web::post().to(redrive_entry))
        .route("/entries/{id:.+}", read().to(entry))
        .route("/entries/{id:.+}", web::delete().to(discard_entry));
    let quarantine = web::scope("/quarantine")
        .wrap_fn(require_csrf_safe)
        .route("/{id}/redrive", web::post().to(redrive_callback))
        .route("/{id}", read().to(callback))
        .route("/{id}", web::delete().to(discard_callback));
    config.service(journal).service(quarantine);
}

/// Returns a summary of the journal.
async fn summary(journal_admin: Data<JournalAdmin>, shown: Query<SummaryQuery>) -> HttpResponse {
    match journal_admin.summary(shown.entries.unwrap_or(SHOWN)).await {
        Ok(summary) => HttpResponse::Ok().json(summary),
        Err(rejection) => unavailable(rejection),
    }
}

/// Returns a page of entries with encrypted contents. With `quarantine`, a page of callbacks from that id on.
async fn export(journal_admin: Data<JournalAdmin>, from: Query<ExportQuery>) -> HttpResponse {
    let page = match &from.quarantine {
        None => journal_admin
            .export(from.from.unwrap_or_default(), ENTRIES_PER_PAGE)
            .await
            .map(|(lines, next)| (lines, next.map(text))),
        Some(name) => {
            let name = QuarantineId::parse(name).unwrap_or(QuarantineId::FIRST);
            journal_admin.export_quarantine(name, CALLBACKS_PER_PAGE).await.map(|(lines, next)| (lines, next.map(text)))
        }
    };
    match page {
        Ok((lines, next)) => {
            let mut response = HttpResponse::Ok();
            if let Some(next) = next {
                response.insert_header((NEXT, next));
            }
            response.content_type("application/x-ndjson").body(lines)
        }
        Err(rejection) => unavailable(rejection),
    }
}

/// Returns the entries about an event id or entity id, without their contents.
async fn entries(journal_admin: Data<JournalAdmin>, about: Query<EntriesQuery>) -> HttpResponse {
    match journal_admin.entries_about(&about.about, ENTRIES_PER_PAGE).await {
        Ok(entries) => HttpResponse::Ok().json(entries),
        Err(rejection) => unavailable(rejection),
    }
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

/// Returns one entry with encrypted contents.
async fn entry(journal_admin: Data<JournalAdmin>, id: Path<String>) -> HttpResponse {
    line(journal_admin.entry(&id).await)
}

/// Returns one quarantined callback with encrypted contents.
async fn callback(journal_admin: Data<JournalAdmin>, id: Path<String>) -> HttpResponse {
    let Some(id) = QuarantineId::parse(&id) else { return answer(Ok(Lookup::Nothing)) };
    line(journal_admin.callback(id).await)
}

/// Deletes an entry.
async fn discard_entry(request: HttpRequest, journal_admin: Data<JournalAdmin>, id: Path<String>) -> HttpResponse {
    answer(journal_admin.discard_entry(&id, &peer_address(&request)).await)
}

/// Deletes a quarantined callback.
async fn discard_callback(request: HttpRequest, journal_admin: Data<JournalAdmin>, id: Path<String>) -> HttpResponse {
    let Some(id) = QuarantineId::parse(&id) else { return answer(Ok(Lookup::Nothing)) };
    answer(journal_admin.discard_callback(id, &peer_address(&request)).await)
}

/// Requests that an entry be retried now.
async fn redrive_entry(request: HttpRequest, journal_admin: Data<JournalAdmin>, id: Path<String>) -> HttpResponse {
    answer(journal_admin.redrive(&id, &peer_address(&request)).await)
}

/// Retries a quarantined callback now, and publishes its events if it can be read.
async fn redrive_callback(request: HttpRequest, app_state: Data<AppState>, id: Path<String>) -> HttpResponse {
    let Some(id) = QuarantineId::parse(&id) else { return answer(Ok(Lookup::Nothing)) };
    let redriven = app_state.redrive(id).await;
    tracing::info!(
        code = LogCode::QuarantineRedriven.as_str(), %id, by = peer_address(&request),
        "an operator requested to process a callback in quarantine again"
    );
    answer(redriven)
}

fn line(result: Result<Result<Value, Lookup>, JournalRejection>) -> HttpResponse {
    match result {
        Ok(Ok(line)) => HttpResponse::Ok().json(line),
        Ok(Err(found)) => answer(Ok(found)),
        Err(rejection) => unavailable(rejection),
    }
}

fn answer(result: Result<impl Into<EntryKind>, JournalRejection>) -> HttpResponse {
    match result {
        Ok(kind) => {
            let kind = kind.into();
            HttpResponse::build(kind.status()).json(kind)
        }
        Err(rejection) => unavailable(rejection),
    }
}

/// Returns the peer's address for the log.
pub(super) fn peer_address(request: &HttpRequest) -> String {
    request.peer_addr().map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
}

/// Middleware: refuses requests that can come from a web page.
pub(super) fn require_csrf_safe<S>(
    request: ServiceRequest,
    service: &S,
) -> Either<S::Future, Ready<Result<ServiceResponse, Error>>>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    if is_csrf_safe(request.request()) {
        return Either::Left(service.call(request));
    }
    Either::Right(ready(Ok(request.into_response(forbidden()))))
}

/// Returns true if the request cannot come from a web page: it has the custom header, no `Origin`, and addresses this
/// host by `localhost` or an IP address.
pub(super) fn is_csrf_safe(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (name, value) = HEADER;
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let direct = address == "localhost" || address.parse::<IpAddr>().is_ok();
    text(name) == Some(value) && direct && text(header::ORIGIN.as_str()).is_none()
}

pub(super) fn forbidden() -> HttpResponse {
    let text = format!("Use `idaas-bridge journal`, or send the header {}: {}.\n", HEADER.0, HEADER.1);
    HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body(text)
}

fn unavailable(rejection: JournalRejection) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .body(format!("{}\n", rejection.message()))
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;
    use crate::journal::tests::admin_with_entries;

    fn asked(method: actix_web::http::Method, path: &str) -> TestRequest {
        TestRequest::with_uri(path).method(method).insert_header(HEADER).insert_header(("host", "127.0.0.1:9090"))
    }

    async fn status(request: TestRequest) -> u16 {
        let directory = tempfile::tempdir().unwrap();
        let journal_admin = Data::new(admin_with_entries(directory.path()));
        let app = init_service(App::new().app_data(journal_admin).configure(routes)).await;
        call_service(&app, request.to_request()).await.status().as_u16()
    }

    #[tokio::test]
    async fn a_program_that_asks_for_the_journal_gets_it() {
        use actix_web::http::Method;
        assert_eq!(status(asked(Method::GET, "/journal")).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal/export?from=0")).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal/entries/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/entries/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/entries/workforce/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/entries/nothing")).await, 404);
        assert_eq!(status(asked(Method::GET, "/journal").insert_header(("host", "[::1]:9090"))).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal").insert_header(("host", "localhost"))).await, 200);
    }

    #[tokio::test]
    async fn head_works_where_get_works_and_an_entry_is_redriven_by_post() {
        use actix_web::http::Method;
        assert_eq!(status(asked(Method::HEAD, "/journal")).await, 200);
        assert_eq!(status(asked(Method::HEAD, "/journal/entries/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal/entries?about=user_a")).await, 200);
        assert_eq!(status(asked(Method::POST, "/journal/entries/evnt_1/redrive")).await, 202);
        assert_eq!(status(asked(Method::POST, "/journal/entries/nothing/redrive")).await, 404);
        assert_eq!(status(asked(Method::GET, &format!("/quarantine/{}", "ab".repeat(16)))).await, 404);
        assert_eq!(status(asked(Method::DELETE, "/quarantine/evnt_1")).await, 404);
    }

    #[tokio::test]
    async fn a_page_in_a_browser_gets_nothing_of_the_journal() {
        use actix_web::http::Method;
        for (method, path) in [
            (Method::GET, "/journal"),
            (Method::GET, "/journal/export"),
            (Method::GET, "/journal/entries/evnt_1"),
            (Method::GET, "/journal/entries?about=user_a"),
            (Method::DELETE, "/journal/entries/evnt_1"),
            (Method::POST, "/journal/entries/evnt_1/redrive"),
            (Method::DELETE, "/quarantine/0"),
        ] {
            let bare = TestRequest::with_uri(path).method(method.clone()).insert_header(("host", "127.0.0.1:9090"));
            assert_eq!(status(bare).await, 403, "{path} without the header");
            let foreign = asked(method.clone(), path).insert_header(("origin", "https://evil.example"));
            assert_eq!(status(foreign).await, 403, "{path} of another origin");
            let rebound = asked(method, path).insert_header(("host", "evil.example:9090"));
            assert_eq!(status(rebound).await, 403, "{path} by another name of this host");
        }
    }
}
