//! Metrics, health and the console, on the admin listener. Nothing here is meant for the public side.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Data;

use crate::app_state::AppState;

/// Prometheus' text format.
pub(super) async fn metrics(bridge: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(bridge.metrics_text())
}

/// Whether the process lives: none of its long-lived threads has ended. It never looks at Kafka: a restart would not
/// bring Kafka back.
pub(super) async fn livez(bridge: Data<AppState>) -> HttpResponse {
    let ended = bridge.metrics.liveness.ended();
    if ended.is_empty() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n");
    }
    let body = format!("threads have ended: {}\n", ended.join(", "));
    HttpResponse::InternalServerError().content_type(ContentType::plaintext()).body(body)
}

/// Whether callbacks are to be sent here.
pub(super) async fn readyz(bridge: Data<AppState>) -> HttpResponse {
    if bridge.is_ready() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready\n");
    }
    let why = if bridge.is_draining() {
        "draining\n"
    } else if !bridge.applications().keys.any_keys() {
        "no application has its public keys yet\n"
    } else {
        "starting\n"
    };
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body(why)
}

/// One page for a person: what is going on, with a link to the figures.
pub(super) async fn console(bridge: Data<AppState>) -> HttpResponse {
    let text = bridge.metrics_text();
    let state = if bridge.is_ready() { "ready" } else { "not ready" };
    let applications = bridge.applications();
    let mut names: Vec<_> = applications.by_name.values().collect();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    let rows: String = names
        .iter()
        .map(|application| {
            let age =
                application.keys.age().map_or_else(|| "none".to_owned(), |age| format!("{} s old", age.as_secs()));
            format!("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", application.name, application.keys.key_count(), age)
        })
        .collect();
    let figures: String = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket") && !line.ends_with(" 0"))
        .map(|line| format!("{}\n", line.replace('&', "&amp;").replace('<', "&lt;")))
        .collect();
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <title>idaas-bridge</title><style>body{{font:16px/1.5 system-ui;margin:2rem;max-width:70rem}}\
         td,th{{padding:.2rem 1rem .2rem 0;text-align:left}}pre{{font-size:13px}}</style>\
         <h1>idaas-bridge {version}: {state}</h1>\
         <table><tr><th>application<th>public keys<th>key set</tr>{rows}</table>\
         <p>Figures that are not zero; all of them at <a href=/metrics>/metrics</a>.</p><pre>{figures}</pre></html>",
        version = env!("CARGO_PKG_VERSION"),
    );
    HttpResponse::Ok().content_type(ContentType::html()).body(page)
}
