//! Liveness on the admin listeners.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Data;

use crate::telemetry::liveness::Liveness;

/// Returns 200 unless a long-lived thread has ended. Does not check Kafka, because a restart would not bring it back.
pub(super) async fn livez(liveness: Data<Liveness>) -> HttpResponse {
    let ended = liveness.ended();
    if ended.is_empty() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n");
    }
    let body = format!("threads have ended: {}\n", ended.join(", "));
    HttpResponse::InternalServerError().content_type(ContentType::plaintext()).body(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_watched_thread_ends_liveness() {
        let liveness = Arc::new(Liveness::default());
        let answer = livez(Data::from(Arc::clone(&liveness))).await;
        assert_eq!(answer.status(), 200);
        let alive = liveness.watch("journal");
        let thread = std::thread::spawn(move || {
            let _alive = alive;
            panic!("as a defect would");
        });
        thread.join().unwrap_err();
        let answer = livez(Data::from(liveness)).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(to_bytes(answer.into_body()).await.unwrap(), "threads have ended: journal\n");
    }
}
