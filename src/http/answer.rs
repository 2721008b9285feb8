//! The JSON that IDaaS gets: the four lists, or an error. All four lists are always there.

use idaas_callback::Refusal;
use outbox::verdict::List;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::delivery::dispatcher::EventVerdict;

/// The verdicts on a callback's events, each eventId in exactly one list.
pub(super) struct Answer(pub(super) Vec<EventVerdict>);

struct Listed<'a>(&'a [EventVerdict], List);

struct Event<'a>(&'a EventVerdict);

impl Answer {
    /// The body of the answer.
    #[must_use]
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Writing to memory does not fail, and every key is a string.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The body of a refusal: a code and a constant sentence, never an echo of the input.
#[must_use]
pub(super) fn refusal(refusal: Refusal) -> String {
    serde_json::json!({"error": refusal.code(), "errorDescription": refusal.description()}).to_string()
}

const fn member(list: List) -> &'static str {
    match list {
        List::Success => "successEvents",
        List::Skipped => "skippedEvents",
        List::Failed => "failedEvents",
        List::Retried => "retriedEvents",
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(List::ALL.len()))?;
        for list in List::ALL {
            map.serialize_entry(member(list), &Listed(&self.0, list))?;
        }
        map.end()
    }
}

impl Serialize for Listed<'_> {
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
        let answer = Answer(vec![event("a", Verdict::Confirmed), event("b", Verdict::NotConfirmed)]);
        let json: serde_json::Value = serde_json::from_slice(&answer.to_json()).unwrap();
        assert_eq!(
            json["successEvents"],
            serde_json::json!([{"eventId": "a", "eventCode": "SUCCESS", "eventMessage": "SUCCESS"}])
        );
        assert_eq!(json["retriedEvents"][0]["eventCode"], "not_confirmed");
        assert_eq!((&json["skippedEvents"], &json["failedEvents"]), (&serde_json::json!([]), &serde_json::json!([])));
    }
}
