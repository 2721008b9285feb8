//! Metrics and readiness on the admin listener. Not meant to be publicly reachable.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::header::ContentType;
use actix_web::web::{Bytes, Data};
use futures_util::stream;

use crate::app_state::AppState;

/// Returns the metrics in Prometheus text format. Each metric family is freed once it is encoded, and the texts are not
/// joined: with a thousand applications, each copy takes megabytes.
pub(super) async fn metrics(app_state: Data<AppState>) -> HttpResponse {
    let texts: Vec<_> = app_state.metrics_texts().map(Bytes::from).collect();
    let size = texts.iter().map(|text| text.len() as u64).sum();
    let texts = stream::iter(texts.into_iter().map(Ok::<_, Infallible>));
    let mut response = HttpResponse::Ok();
    response.content_type("text/plain; version=0.0.4; charset=utf-8").body(SizedStream::new(size, texts))
}

/// Returns 200 if the service is ready to receive callbacks.
pub(super) async fn readyz(app_state: Data<AppState>) -> HttpResponse {
    if app_state.is_ready() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready\n");
    }
    let why = if app_state.is_draining() {
        "draining\n"
    } else if !app_state.applications().keys.any_keys() {
        "no application has its public keys yet\n"
    } else {
        "starting\n"
    };
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body(why)
}
