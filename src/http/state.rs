//! Metrics and health of `materialize`, on its admin listener.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{App, HttpResponse, HttpServer, web};

use super::connections::Connections;
use super::{Admin, HEADER_TIMEOUT, RunningServer};
use crate::telemetry::state::StateMetrics;

/// What the admin listener shows.
pub struct StateHealth {
    /// The metrics.
    pub metrics: Arc<StateMetrics>,
    /// Whether all assigned partitions are restored.
    pub ready: AtomicBool,
}

/// Starts to serve metrics and health.
///
/// # Errors
/// The operating system's.
pub fn serve_state(listener: TcpListener, health: Arc<StateHealth>) -> std::io::Result<Admin> {
    let connections = Connections::default();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::from(Arc::clone(&health)))
            .service(web::resource("/metrics").route(web::get().to(metrics)).route(web::head().to(metrics)))
            .service(web::resource("/livez").route(web::get().to(livez)).route(web::head().to(livez)))
            .service(web::resource("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
    })
    .workers(1)
    .client_request_timeout(HEADER_TIMEOUT)
    .shutdown_timeout(1)
    .on_connect(connections.counter())
    .disable_signals()
    .listen(listener)?;
    Ok(Admin(RunningServer::new(server.run(), connections)))
}

async fn metrics(health: Data<StateHealth>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(health.metrics.text())
}

/// Whether no long-lived thread has ended. It does not look at Kafka: a restart would not bring Kafka back.
async fn livez(health: Data<StateHealth>) -> HttpResponse {
    let ended = health.metrics.liveness.ended();
    if ended.is_empty() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n");
    }
    let body = format!("threads have ended: {}\n", ended.join(", "));
    HttpResponse::InternalServerError().content_type(ContentType::plaintext()).body(body)
}

/// Whether the state of all assigned partitions is restored.
async fn readyz(health: Data<StateHealth>) -> HttpResponse {
    if health.ready.load(Ordering::Relaxed) {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready\n");
    }
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body("joining or restoring\n")
}
