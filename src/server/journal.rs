//! The journal on the admin listener: what is in it, its export, and the removal of one thing.
//!
//! A page in an operator's browser must not be able to ask for any of it. So each request has to carry a header of ours,
//! which a page of another origin cannot set without being allowed to (and nobody is), and to name this host by its
//! address, which a page that has pointed a name of its own at this address does not.

use std::net::IpAddr;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::journal::desk::Found;
use crate::journal::summary::{Held, Waiting};
use crate::journal::{Desk, JournalRefusal};

/// The header that a request has to carry, and its value.
pub const HEADER: (&str, &str) = ("x-idaas-bridge", "journal");

/// The header that says from where an export goes on.
pub const NEXT: &str = "x-next";

/// How many entries a page of an export has.
const PAGE: usize = 500;

/// How many entries a summary shows by themselves, unless it is asked for more.
const SHOWN: usize = 20;

/// What a removal meant, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Meant {
    /// An entry.
    Event(Waiting),
    /// An entry whose event is with the producer, so that nothing was removed.
    InFlight(Waiting),
    /// A callback in quarantine.
    Callback(Held),
    /// One of these.
    Several(Vec<String>),
    /// Nothing.
    Nothing,
}

impl From<Found> for Meant {
    fn from(found: Found) -> Self {
        match found {
            Found::Event(waiting) => Self::Event(waiting),
            Found::InFlight(waiting) => Self::InFlight(waiting),
            Found::Callback(held) => Self::Callback(held),
            Found::Several(names) => Self::Several(names),
            Found::Nothing => Self::Nothing,
        }
    }
}

#[derive(Deserialize)]
struct Shown {
    entries: Option<usize>,
}

#[derive(Deserialize)]
struct Begin {
    from: Option<u64>,
}

/// Where it is asked for.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/journal", web::get().to(summary))
        .route("/journal/export", web::get().to(export))
        .route("/journal/things/{name:.+}", web::get().to(find))
        .route("/journal/things/{name:.+}", web::delete().to(discard));
}

/// What is in the journal.
async fn summary(request: HttpRequest, desk: Data<Desk>, shown: Query<Shown>) -> HttpResponse {
    if !is_ours(&request) {
        return forbidden();
    }
    match desk.summary(shown.entries.unwrap_or(SHOWN)).await {
        Ok(summary) => HttpResponse::Ok().json(summary),
        Err(refusal) => unavailable(refusal),
    }
}

/// A page of the entries, with their contents sealed; after the last, the quarantine.
async fn export(request: HttpRequest, desk: Data<Desk>, from: Query<Begin>) -> HttpResponse {
    if !is_ours(&request) {
        return forbidden();
    }
    let page = match desk.export(from.from.unwrap_or_default(), PAGE).await {
        Ok((lines, Some(next))) => Ok((lines, Some(next))),
        Ok((_, None)) => desk.export_quarantine().await.map(|lines| (lines, None)),
        Err(refusal) => Err(refusal),
    };
    match page {
        Ok((lines, next)) => {
            let mut response = HttpResponse::Ok();
            if let Some(next) = next {
                response.insert_header((NEXT, next.to_string()));
            }
            response.content_type("application/x-ndjson").body(lines)
        }
        Err(refusal) => unavailable(refusal),
    }
}

/// What a name means.
async fn find(request: HttpRequest, desk: Data<Desk>, name: Path<String>) -> HttpResponse {
    if !is_ours(&request) {
        return forbidden();
    }
    answer(desk.find(&name).await)
}

/// Removes what a name means.
async fn discard(request: HttpRequest, desk: Data<Desk>, name: Path<String>) -> HttpResponse {
    if !is_ours(&request) {
        return forbidden();
    }
    answer(desk.discard(&name).await)
}

fn answer(found: Result<Found, JournalRefusal>) -> HttpResponse {
    match found {
        Ok(found) => {
            let status = match found {
                Found::Event(_) | Found::Callback(_) => StatusCode::OK,
                Found::Several(_) | Found::InFlight(_) => StatusCode::CONFLICT,
                Found::Nothing => StatusCode::NOT_FOUND,
            };
            HttpResponse::build(status).json(Meant::from(found))
        }
        Err(refusal) => unavailable(refusal),
    }
}

/// Whether a request can come from a program that knows whom it talks to, and not from a page in a browser.
fn is_ours(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (name, value) = HEADER;
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let direct = address == "localhost" || address.parse::<IpAddr>().is_ok();
    text(name) == Some(value) && direct && text(header::ORIGIN.as_str()).is_none()
}

fn forbidden() -> HttpResponse {
    let text = format!("Ask by `idaas-bridge journal`, or with the header {}: {}.\n", HEADER.0, HEADER.1);
    HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body(text)
}

fn unavailable(refusal: JournalRefusal) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .body(format!("{}\n", refusal.message()))
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;
    use crate::journal::tests::desk_with_entries;

    fn asked(method: actix_web::http::Method, path: &str) -> TestRequest {
        TestRequest::with_uri(path).method(method).insert_header(HEADER).insert_header(("host", "127.0.0.1:9090"))
    }

    async fn status(request: TestRequest) -> u16 {
        let directory = tempfile::tempdir().unwrap();
        let desk = Data::new(desk_with_entries(directory.path()));
        let app = init_service(App::new().app_data(desk).configure(routes)).await;
        call_service(&app, request.to_request()).await.status().as_u16()
    }

    #[tokio::test]
    async fn a_program_that_asks_for_the_journal_gets_it() {
        use actix_web::http::Method;
        assert_eq!(status(asked(Method::GET, "/journal")).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal/export?from=0")).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal/things/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/things/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/things/workforce/evnt_1")).await, 200);
        assert_eq!(status(asked(Method::DELETE, "/journal/things/nothing")).await, 404);
        assert_eq!(status(asked(Method::GET, "/journal").insert_header(("host", "[::1]:9090"))).await, 200);
        assert_eq!(status(asked(Method::GET, "/journal").insert_header(("host", "localhost"))).await, 200);
    }

    #[tokio::test]
    async fn a_page_in_a_browser_gets_nothing_of_the_journal() {
        use actix_web::http::Method;
        for (method, path) in [
            (Method::GET, "/journal"),
            (Method::GET, "/journal/export"),
            (Method::GET, "/journal/things/evnt_1"),
            (Method::DELETE, "/journal/things/evnt_1"),
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
