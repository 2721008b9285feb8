//! The admin listener of `materialize`: metrics and health.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpResponse, web};

use super::liveness::livez;
use super::{Admin, listen_admin};
use crate::materialize::StateHealth;

/// Starts to serve metrics and health.
///
/// # Errors
/// The socket cannot be set up.
pub fn serve_state(listener: TcpListener, health: Arc<StateHealth>) -> std::io::Result<Admin> {
    listen_admin(listener, None, move |config| {
        config
            .app_data(Data::from(Arc::clone(&health)))
            .app_data(Data::from(Arc::clone(&health.metrics.liveness)))
            .service(web::resource("/metrics").route(web::get().to(metrics)))
            .service(web::resource("/livez").route(web::get().to(livez)))
            .service(web::resource("/readyz").route(web::get().to(readyz)));
    })
}

async fn metrics(health: Data<StateHealth>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(health.metrics.text())
}

/// Returns 200 once the state of all assigned partitions is restored.
async fn readyz(health: Data<StateHealth>) -> HttpResponse {
    if health.ready.load(Ordering::Relaxed) {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready\n");
    }
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body("joining or restoring\n")
}
