//! Tests of `fault`.

use super::*;
use crate::events::Generator;
use crate::test_bridge::tenant_keys;

const NOW: i64 = 1_753_000_000;

fn user() -> Event {
    Generator::new(1).event(&Kind::UserCreate.into(), 0, NOW * 1000)
}

fn item(fault: Fault) -> Value {
    fault.event_values(&[user()], Form::Wire).remove(0)
}

fn request(fault: Fault) -> Request {
    fault.request(&tenant_keys(), &[user()], Form::Wire, false, NOW).unwrap()
}

#[test]
fn names_are_as_on_the_command_line() {
    assert_eq!(Fault::NotYetValid.name(), "not-yet-valid");
    assert_eq!(Fault::from_str("wrong-key", false), Ok(Fault::WrongKey));
}

#[test]
fn a_faulty_event_lacks_what_it_should_lack_and_nothing_else() {
    let honest = payload::event_value(&user(), Form::Wire);
    let differing = |fault| -> Vec<&str> {
        let item = item(fault);
        let names = ["eventId", "eventType", "eventTime", "bizId", "bizData"];
        names.into_iter().filter(|name| item.get(name) != honest.get(name)).collect()
    };
    assert_eq!(differing(Fault::MalformedEvent), ["eventType"]);
    assert_eq!(differing(Fault::MissingEventId), ["eventId"]);
    assert_eq!(differing(Fault::MalformedData), ["bizData"]);
    assert_eq!(differing(Fault::UnknownType), ["eventType"]);
    assert_eq!(differing(Fault::MissingEntityId), ["bizId", "bizData"]);
    assert_eq!(differing(Fault::RecordTooLarge), ["bizData"]);
    assert_eq!(differing(Fault::Expired), <[&str; 0]>::default());
    assert!(serde_json::from_str::<Value>(item(Fault::MalformedData)["bizData"].as_str().unwrap()).is_err());
    assert!(!item(Fault::MissingEntityId)["bizData"].as_str().unwrap().contains("\"userId\""));
}

#[test]
fn a_duplicate_stands_twice_in_its_callback() {
    let items = Fault::Duplicate.event_values(&[user()], Form::Wire);
    assert_eq!(items.len(), 2);
    assert_eq!(items[0], items[1]);
}

#[test]
fn entity_faults_leave_other_events_alone() {
    let test = Generator::new(1).event(&Kind::Test.into(), 0, NOW * 1000);
    let fault = Fault::MissingEntityId;
    assert_eq!(fault.event_values(std::slice::from_ref(&test), Form::Wire)[0], payload::event_value(&test, Form::Wire));
    assert_eq!(Expected::of(&test, Some(fault), &[]), Expected::SUCCESS);
    assert_eq!(Expected::of(&user(), Some(fault), &[]), Expected::Verdict(List::Failed, "missing_entity_id"));
}

#[test]
fn a_type_that_the_operator_skips_is_expected_to_be_skipped() {
    let skip = [Kind::UserCreate.urn()];
    let skipped = Expected::Verdict(List::Skipped, "not_subscribed");
    assert_eq!(Expected::of(&user(), None, &skip), skipped);
    assert_eq!(Expected::of(&user(), Some(Fault::UnknownType), &skip), Expected::SUCCESS);
    assert_eq!(Expected::of(&user(), None, &[]), Expected::SUCCESS);
}

#[test]
fn faulty_bodies_are_what_they_say() {
    assert!(serde_json::from_slice::<Value>(&request(Fault::NotJson).body).is_err());
    let large = request(Fault::TooLarge).body;
    assert!(large.len() > 8 * 1024 * 1024 && serde_json::from_slice::<Value>(&large).is_ok());
    let compressed = request(Fault::Compressed);
    assert_eq!(compressed.encoding, Some("gzip"));
    let inflated = std::io::read_to_string(flate2::read::GzDecoder::new(compressed.body.as_slice())).unwrap();
    assert!(inflated.starts_with("{\"event\":\""));
}

#[test]
fn every_fault_makes_a_request() {
    for fault in Fault::value_variants() {
        assert!(!request(*fault).body.is_empty(), "{}", fault.name());
    }
}
