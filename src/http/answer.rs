//! The response to IDaaS: the four lists, or an error. All four lists are always present.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use idaas_callback::Refusal;
use outbox::verdict::List;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::app_state::AppState;
use crate::delivery::request::EventVerdict;

/// The content type of every response, written as IDaaS writes it.
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=utf-8");

/// Serializes the four lists of an answer.
struct Lists<'a>(&'a [EventVerdict]);

struct ListItems<'a>(&'a [EventVerdict], List);

struct Event<'a>(&'a EventVerdict);

/// Returns the response to an accepted callback. Each event is in exactly one list.
pub(super) fn verdicts(verdicts: &[EventVerdict], app_state: &AppState) -> HttpResponse {
    // Cannot fail: the output is memory, and every key is a string.
    let body = serde_json::to_vec(&Lists(verdicts)).unwrap_or_default();
    response(StatusCode::OK, app_state).body(body)
}

/// Returns the response to a rejected callback: a code and a constant description, never an echo of the input.
pub(super) fn refusal(refusal: Refusal, app_state: &AppState) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response(status, app_state);
    if let Some(after) = refusal.retry_after() {
        response.insert_header((header::RETRY_AFTER, after));
    }
    if refusal == Refusal::MethodNotAllowed {
        response.insert_header((header::ALLOW, "POST"));
    }
    let body = serde_json::json!({"error": refusal.code(), "errorDescription": refusal.description()});
    response.body(body.to_string())
}

fn response(status: StatusCode, app_state: &AppState) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, JSON));
    if app_state.is_draining() {
        // So that the sender's next request goes to another instance.
        response.force_close();
    }
    response
}

const fn member(list: List) -> &'static str {
    match list {
        List::Success => "successEvents",
        List::Skipped => "skippedEvents",
        List::Failed => "failedEvents",
        List::Retried => "retriedEvents",
    }
}

impl Serialize for Lists<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(List::ALL.len()))?;
        for list in List::ALL {
            map.serialize_entry(member(list), &ListItems(self.0, list))?;
        }
        map.end()
    }
}

impl Serialize for ListItems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().filter(|event| event.verdict.list() == self.1).map(Event))
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("eventId", &self.0.event_id)?;
        map.serialize_entry("eventCode", self.0.verdict.code())?;
        map.serialize_entry("eventMessage", self.0.verdict.message())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use outbox::verdict::Verdict;

    use super::*;

    #[test]
    fn all_four_lists_are_there_and_each_event_stands_in_one() {
        let event = |id: &str, verdict| EventVerdict { event_id: id.to_owned(), verdict };
        let verdicts = [event("a", Verdict::Confirmed), event("b", Verdict::NotConfirmed)];
        let json = serde_json::to_value(Lists(&verdicts)).unwrap();
        assert_eq!(
            json["successEvents"],
            serde_json::json!([{"eventId": "a", "eventCode": "SUCCESS", "eventMessage": "SUCCESS"}])
        );
        assert_eq!(json["retriedEvents"][0]["eventCode"], "not_confirmed");
        assert_eq!((&json["skippedEvents"], &json["failedEvents"]), (&serde_json::json!([]), &serde_json::json!([])));
    }
}
