//! Parses the bridge's answer strictly: four lists, each event id in exactly one of them.

use std::collections::HashMap;

use serde::Deserialize;

/// One of the four lists of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum List {
    /// Published. Not sent again.
    Success,
    /// Not subscribed. Not sent again.
    Skipped,
    /// Failed permanently. Not sent again.
    Failed,
    /// To be sent again.
    Retried,
}

impl List {
    /// Returns the list's name in metrics and reports: `success`, `skipped`, `failed`, `retried`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Retried => "retried",
        }
    }
}

/// The bridge's verdict on one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The event's id.
    pub event_id: String,
    /// The list that contains it.
    pub list: List,
    /// Its `eventCode`.
    pub code: String,
}

/// A parsed answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The elements of the four lists, in order.
    pub verdicts: Vec<Verdict>,
}

/// A fault of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerFault {
    /// The answer is not the JSON object with the four lists.
    Unreadable,
    /// An event of the request is in no list.
    Missing(String),
    /// An event is in the lists more than once.
    Repeated(String),
    /// A list contains an event that was not in the request.
    Foreign(String),
}

impl std::fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the answer is not a JSON object with the four lists"),
            Self::Missing(id) => write!(f, "{id} is in no list"),
            Self::Repeated(id) => write!(f, "{id} is in the lists more than once"),
            Self::Foreign(id) => write!(f, "{id} is in a list, but was not in the request"),
        }
    }
}

impl std::error::Error for AnswerFault {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    success_events: Vec<Element>,
    skipped_events: Vec<Element>,
    failed_events: Vec<Element>,
    retried_events: Vec<Element>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    event_id: String,
    event_code: String,
    #[serde(rename = "eventMessage")]
    _event_message: String,
}

impl Answer {
    /// Parses the body of a 200.
    ///
    /// # Errors
    /// [`AnswerFault::Unreadable`] if a list or a member of an element is missing.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerFault> {
        let document: Document = serde_json::from_slice(body).map_err(|_| AnswerFault::Unreadable)?;
        let lists = [
            (List::Success, document.success_events),
            (List::Skipped, document.skipped_events),
            (List::Failed, document.failed_events),
            (List::Retried, document.retried_events),
        ];
        let verdict =
            |list: List, element: Element| Verdict { event_id: element.event_id, list, code: element.event_code };
        let verdicts = lists.into_iter().flat_map(|(list, elements)| {
            elements.into_iter().map(move |element| verdict(list, element)).collect::<Vec<_>>()
        });
        Ok(Self { verdicts: verdicts.collect() })
    }

    /// Checks that each of `event_ids`, and no other id, is in exactly one list. An id that is given twice must still
    /// be there once.
    #[must_use]
    pub fn faults<'a>(&self, event_ids: impl IntoIterator<Item = &'a str>) -> Vec<AnswerFault> {
        let mut counts: HashMap<&str, usize> = event_ids.into_iter().map(|id| (id, 0)).collect();
        let mut faults = Vec::new();
        for verdict in &self.verdicts {
            match counts.get_mut(verdict.event_id.as_str()) {
                None => faults.push(AnswerFault::Foreign(verdict.event_id.clone())),
                Some(count) => {
                    *count += 1;
                    if *count == 2 {
                        faults.push(AnswerFault::Repeated(verdict.event_id.clone()));
                    }
                }
            }
        }
        let missing = counts.into_iter().filter(|(_, count)| *count == 0).map(|(id, _)| id);
        faults.extend(missing.map(|id| AnswerFault::Missing(id.to_owned())));
        faults
    }
}

/// Returns the code in the body of a refusal: its member `error`. `None` if it has none.
#[must_use]
pub fn refusal_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(success: &str, failed: &str) -> Vec<u8> {
        format!(r#"{{"successEvents":[{success}],"skippedEvents":[],"failedEvents":[{failed}],"retriedEvents":[]}}"#)
            .into_bytes()
    }

    const A: &str = r#"{"eventId":"a","eventCode":"SUCCESS","eventMessage":"SUCCESS"}"#;

    #[test]
    fn an_answer_gives_one_verdict_per_element() {
        let answer = Answer::parse(&answer(A, "")).unwrap();
        let verdict = Verdict { event_id: "a".into(), list: List::Success, code: "SUCCESS".into() };
        assert_eq!(answer.verdicts, [verdict]);
        assert_eq!(answer.faults(["a", "a"]), []);
    }

    #[test]
    fn an_id_in_no_list_in_two_lists_and_a_foreign_one_are_told() {
        let twice = Answer::parse(&answer(A, A)).unwrap();
        assert_eq!(twice.faults(["a"]), [AnswerFault::Repeated("a".into())]);
        assert_eq!(twice.faults(["a", "b"]), [AnswerFault::Repeated("a".into()), AnswerFault::Missing("b".into())]);
        let faults = Answer::parse(&answer(A, "")).unwrap().faults([]);
        assert_eq!(faults, [AnswerFault::Foreign("a".into())]);
    }

    #[test]
    fn a_missing_list_or_member_is_unreadable() {
        for body in [r#"{"successEvents":[]}"#, "", "[]"] {
            assert_eq!(Answer::parse(body.as_bytes()), Err(AnswerFault::Unreadable), "{body}");
        }
        assert_eq!(Answer::parse(&answer(r#"{"eventId":"a"}"#, "")), Err(AnswerFault::Unreadable));
    }

    #[test]
    fn the_code_of_a_refusal_is_its_member_error() {
        let body = br#"{"error":"expired","errorDescription":"The token has expired."}"#;
        assert_eq!(refusal_code(body).as_deref(), Some("expired"));
        assert_eq!(refusal_code(b"<html>"), None);
    }
}
