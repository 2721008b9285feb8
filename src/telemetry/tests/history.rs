use std::sync::Arc;
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use outbox::verdict::Verdict;

use super::*;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::event::{PublishedAt, TrackedEvent};
use crate::telemetry::metrics::Metrics;

struct Recorder {
    history: History,
    application: Arc<ApplicationMetrics>,
    topic: Arc<str>,
}

impl Recorder {
    fn new() -> Self {
        let application = Metrics::new().unwrap().application("workforce", 0);
        let history = History::default();
        history.start();
        Self { history, application, topic: "idaas.user.v1".into() }
    }

    fn event(&self, event_id: &str, entity_id: &str) -> RecordedEvent {
        self.event_of(Action::Updated, event_id, entity_id)
    }

    fn event_of(&self, action: Action, event_id: &str, entity_id: &str) -> RecordedEvent {
        let (took, topic) = (Duration::from_micros(1234), Arc::clone(&self.topic));
        RecordedEvent {
            application: Arc::clone(&self.application),
            entity: Entity::User,
            event: TrackedEvent::new(event_id, Some(entity_id), Some(action), Verdict::Confirmed, topic),
            published: Some(PublishedAt { partition: 2, offset: 7, took }),
        }
    }

    fn found(&self, query: &str) -> Vec<String> {
        self.history.find(query, 100).into_iter().map(|event| event.event_id).collect()
    }
}

#[test]
fn nothing_is_recorded_before_the_start() {
    let recorder = Recorder::new();
    let off = History::default();
    off.record(recorder.event("evnt_1", "user_1"), clock::since_1970());
    assert_eq!(off.size(), HistorySize { held: 0, total: 0, oldest: None });
    assert_eq!(off.latest(10), []);
}

#[test]
fn events_are_found_by_event_id_and_entity_id() {
    let recorder = Recorder::new();
    for (event_id, entity_id) in [("evnt_1", "user_a"), ("evnt_2", "user_b"), ("evnt_3", "user_a")] {
        recorder.history.record(recorder.event(event_id, entity_id), clock::since_1970());
    }
    assert_eq!(recorder.found("user_a"), ["evnt_3", "evnt_1"]);
    assert_eq!(recorder.found("evnt_2"), ["evnt_2"]);
    assert_eq!(recorder.found("evnt"), ["evnt_3", "evnt_2", "evnt_1"]);
    assert!(recorder.found("other").is_empty());
    let event = recorder.history.latest(1).remove(0);
    assert_eq!((event.r#type.as_str(), event.verdict, event.list), ("user.updated", "SUCCESS", "success"));
    assert_eq!((event.topic.as_deref(), event.partition, event.offset), (Some("idaas.user.v1"), Some(2), Some(7)));
    assert_eq!(event.milliseconds, Some(1.23));
}

#[test]
fn the_oldest_events_are_overwritten() {
    let recorder = Recorder::new();
    let count = CAPACITY + 700;
    for number in 0..count {
        recorder.history.record(recorder.event(&format!("evnt_{number:05}"), "user"), clock::since_1970());
    }
    let size = recorder.history.size();
    assert_eq!((size.held, size.total), (CAPACITY, count as u64));
    let all = recorder.history.find("evnt", usize::MAX);
    assert_eq!(all.len(), CAPACITY);
    assert_eq!(all.first().unwrap().event_id, format!("evnt_{:05}", count - 1));
    assert_eq!(all.last().unwrap().event_id, "evnt_00700");
}

#[test]
fn a_long_id_is_cut_and_still_found() {
    let recorder = Recorder::new();
    let long = "é".repeat(500);
    recorder.history.record(recorder.event(&long, "user"), clock::since_1970());
    let found = recorder.history.find(&long, 1);
    assert_eq!(found[0].event_id, format!("{}…", "é".repeat(32)));
    assert!(recorder.found("èé").is_empty());
}

#[test]
fn a_credential_has_no_line_of_its_own() {
    let recorder = Recorder::new();
    let event = recorder.event("evnt_1", "user");
    recorder.history.record(RecordedEvent { entity: Entity::Credential, ..event }, clock::since_1970());
    assert_eq!(recorder.history.size().total, 0);
}

#[test]
fn snapshots_make_a_full_push_once_confirmed() {
    let recorder = Recorder::new();
    let snapshot = || recorder.event_of(Action::Snapshot, "evnt", "user");
    recorder.history.record(RecordedEvent { published: None, ..snapshot() }, clock::since_1970());
    assert!(recorder.history.pushes().is_empty());
    for entity in [Entity::User, Entity::User, Entity::Group] {
        recorder.history.record(RecordedEvent { entity, ..snapshot() }, clock::since_1970());
    }
    let pushes = recorder.history.pushes();
    assert_eq!((pushes[0].users, pushes[0].units, pushes[0].groups), (2, 0, 1));
}
