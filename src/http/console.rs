//! The console on the admin listener: the page and its files, the message stream, and the search for events.
//!
//! The page and the numbers are public, like `/metrics`. Ids and the configuration are only for senders that
//! [`AdminToken`] allows. Without a token, that is this machine. A website of another origin must not read them through
//! a browser on it, so the CSRF check of the journal applies as well.

use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use serde::Deserialize;

use super::access::AdminToken;
use super::connections::InProgress;
use super::journal::{forbidden, is_csrf_safe};
use crate::console::Console;
use crate::console::page::{ASSETS, Asset};

/// Path of the message stream.
pub(super) const STREAM: &str = "/console/stream";

/// Maximum time without a message on a stream.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Content security policy: only the page's own files, and no inline scripts or styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds the routes of the console.
pub(super) fn routes(config: &mut ServiceConfig) {
    for asset in &ASSETS {
        config.route(asset.path, web::get().to(move || async move { file(asset) }));
    }
    config.route(STREAM, web::get().to(follow)).route("/console/events", web::get().to(events));
}

/// Returns true if the path needs no token.
pub(super) fn is_open(path: &str) -> bool {
    path == STREAM || ASSETS.iter().any(|asset| asset.path == path)
}

fn file(asset: &Asset) -> HttpResponse {
    with_security_headers(HttpResponse::Ok()).content_type(asset.media_type).body(asset.content)
}

/// Streams messages. Rejects a wrong token instead of streaming without ids, because its sender wants to see them.
async fn follow(request: HttpRequest, console: Data<Console>, token: Data<AdminToken>) -> HttpResponse {
    let sees_ids = may_see_ids(&request, &token);
    if !sees_ids && request.headers().contains_key(header::AUTHORIZATION) {
        return HttpResponse::Unauthorized().content_type("text/plain; charset=utf-8").body("The token is wrong.\n");
    }
    let Some(viewer) = console.into_inner().view(sees_ids) else {
        let mut response = HttpResponse::ServiceUnavailable();
        response.insert_header((header::RETRY_AFTER, "5"));
        return response.content_type("text/plain; charset=utf-8").body("There are too many viewers.\n");
    };
    let rule = token.digest();
    let state = (viewer, token, InProgress::of(&request));
    let messages = stream::unfold(state, move |(mut viewer, token, in_progress)| async move {
        let text = viewer.next(HEARTBEAT).await?;
        // Ends the stream after a change of the token, so that the viewer has to authenticate again.
        (token.digest() == rule).then(|| (Ok::<_, Error>(Bytes::from(text)), (viewer, token, in_progress)))
    });
    with_security_headers(HttpResponse::Ok()).content_type("text/event-stream").streaming(messages)
}

#[derive(Deserialize)]
struct Search {
    query: String,
}

async fn events(
    request: HttpRequest,
    console: Data<Console>,
    token: Data<AdminToken>,
    search: Query<Search>,
) -> HttpResponse {
    if !may_see_ids(&request, &token) {
        return forbidden();
    }
    with_security_headers(HttpResponse::Ok()).json(console.find(&search.query))
}

/// Returns true if the request may see ids: it carries the token, or there is none and it is a local request that
/// passes the CSRF check.
fn may_see_ids(request: &HttpRequest, token: &AdminToken) -> bool {
    token.allows(request.headers(), request.peer_addr()) && (token.is_set() || is_csrf_safe(request))
}

fn with_security_headers(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    response
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service};

    use super::*;

    #[tokio::test]
    async fn every_file_of_the_page_has_the_policy() {
        let app = init_service(App::new().configure(routes)).await;
        for asset in &ASSETS {
            let response = call_service(&app, TestRequest::with_uri(asset.path).to_request()).await;
            assert_eq!(response.status(), 200, "{}", asset.path);
            let header = |name| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
            assert_eq!(header(header::CONTENT_SECURITY_POLICY), POLICY);
            assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(header::CONTENT_TYPE), asset.media_type);
        }
    }

    #[test]
    fn the_page_refers_to_its_own_files_alone() {
        let served: Vec<_> = ASSETS.iter().map(|asset| asset.path).collect();
        for asset in &ASSETS {
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("://"), "{} names another host", asset.path);
            let of_page = content.split('"').filter(|text| text.starts_with("/console/")).map(str::to_owned);
            let modules = content.split('\'').filter_map(|text| Some(format!("/console/{}", text.strip_prefix("./")?)));
            for path in of_page.chain(modules) {
                assert!(served.contains(&path.as_str()), "{}: {path}", asset.path);
            }
        }
        assert!(!ASSETS[0].content.contains("<style") && !ASSETS[0].content.contains("style="));
    }

    #[test]
    fn only_files_and_the_stream_are_open() {
        for path in ["/", "/console/main.js", "/console/stream"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["/console", "/console/", "/console/events", "/console/stream/", "/journal"] {
            assert!(!is_open(path), "{path}");
        }
    }
}
