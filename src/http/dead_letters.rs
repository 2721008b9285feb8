//! Dead letters on the admin listener: an operator can have a dead letter's event published again.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::journal::{peer_address, require_csrf_safe};
use crate::app_state::{AppState, DeadLetterOutcome};
use crate::telemetry::log_code::LogCode;

/// Adds the routes for dead letters.
pub(super) fn routes(config: &mut ServiceConfig) {
    let dead_letters = web::scope("/dead-letters").wrap_fn(require_csrf_safe);
    config.service(dead_letters.route("/{id:.+}/redrive", web::post().to(redrive)));
}

/// Publishes the event of the newest dead letter with this id again.
async fn redrive(request: HttpRequest, app_state: Data<AppState>, id: Path<String>) -> HttpResponse {
    let outcome = app_state.redrive_dead_letter(&id).await;
    let (event_id, by) = (id.as_str(), peer_address(&request));
    match outcome {
        Ok(outcome) => {
            let result = outcome.code();
            tracing::info!(
                code = LogCode::DeadLetterRedriven.as_str(),
                event_id,
                by,
                result,
                "an operator requested to publish a dead letter again"
            );
            HttpResponse::build(status(&outcome)).json(outcome)
        }
        Err(why) => {
            tracing::warn!(
                code = LogCode::DeadLetterNotRedriven.as_str(),
                event_id,
                by,
                "a dead letter is not redriven: {why}"
            );
            let mut response = HttpResponse::ServiceUnavailable();
            response.content_type("text/plain; charset=utf-8").body(format!("{why}\n"))
        }
    }
}

const fn status(outcome: &DeadLetterOutcome) -> StatusCode {
    match outcome {
        DeadLetterOutcome::Published { .. } | DeadLetterOutcome::AlreadyPublished => StatusCode::OK,
        DeadLetterOutcome::Journaled => StatusCode::ACCEPTED,
        DeadLetterOutcome::StillRefused { .. }
        | DeadLetterOutcome::RefusedAgain { .. }
        | DeadLetterOutcome::Skipped
        | DeadLetterOutcome::NoOriginal { .. }
        | DeadLetterOutcome::Unreadable
        | DeadLetterOutcome::NotConfigured { .. }
        | DeadLetterOutcome::Ambiguous { .. } => StatusCode::CONFLICT,
        DeadLetterOutcome::NotFound => StatusCode::NOT_FOUND,
        DeadLetterOutcome::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
    }
}
