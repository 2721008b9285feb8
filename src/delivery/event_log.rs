//! The log line and the history entry of one event. Both contain ids and positions, and no personal data of the event.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use idaas_callback::headers::HeaderName;
use idaas_callback::record::Record;
use outbox::verdict::Verdict;
use serde::Deserialize;

use super::publication::EventPublication;
use crate::clock;
use crate::kafka::producer::delivery::{DeliveryTag, Position};
use crate::telemetry::event::{PublishedAt, RecordedEvent, TrackedEvent};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;

/// Returns the type for the log line of a record, if the line is enabled: at level info with `log.events`, else at
/// level debug. A credential is part of its user's event and has no line of its own.
pub(super) fn logged_type(record: &Record) -> Option<Box<str>> {
    let wanted = logs::events() || tracing::enabled!(target: "event", tracing::Level::DEBUG);
    (wanted && record.entity != Entity::Credential).then(|| kind(record).unwrap_or_default().into())
}

/// Writes the log line of a confirmed record. `took` is the time since the record was handed over.
fn log(kind: &str, tag: &DeliveryTag, topic: &str, position: Position, took: Duration) {
    let Position { partition, offset } = position;
    let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
    let event = &tag.event;
    // The level of a log line is a constant, so there are two lines.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "event",
                application = tag.application.name(),
                "type" = kind,
                entity = tag.entity.name(),
                entity_id = event.entity_id(),
                event_id = event.event_id(),
                verdict = event.verdict.code(),
                topic,
                partition,
                offset,
                milliseconds,
                "published"
            )
        };
    }
    if logs::events() { line!(info) } else { line!(debug) }
}

/// The text before the CloudEvents type in a structured value. The type is one of the first members.
const TYPE_MEMBER: &str = "\"type\":\"";

/// Maximum length of a structured value before its type: version, id and source.
const MAX_BEFORE_TYPE: usize = 2048;

/// Returns the data of an event that its log line and history entry need when the record is confirmed.
pub(super) fn tracked(publication: &EventPublication, record: &Record) -> TrackedEvent {
    let topic = Arc::clone(&record.topic);
    TrackedEvent::new(publication.id.text(), record.key.as_deref(), action(record), publication.verdict, topic)
}

/// Logs a confirmed record, and adds it to the history. `now` is the time since 1970, `took` the time since the record
/// was handed over.
pub(super) fn published(
    metrics: &Metrics,
    tag: DeliveryTag,
    topic: &str,
    position: Position,
    (now, took): (Duration, Duration),
) {
    if let Some(kind) = &tag.logged_type {
        log(kind, &tag, topic, position, took);
    }
    let DeliveryTag { application, entity, event, .. } = tag;
    let Position { partition, offset } = position;
    let published = Some(PublishedAt { partition, offset, took });
    metrics.history.record(RecordedEvent { application, entity, event, published }, now);
}

/// Adds an event to the history that is written to the journal. Nothing is confirmed yet.
pub(super) fn journaled(metrics: &Metrics, publication: &EventPublication) {
    let mut event = tracked(publication, &publication.record);
    event.verdict = Verdict::NotConfirmed;
    let (application, entity) = (Arc::clone(&publication.owner.metrics), publication.record.entity);
    metrics.history.record(RecordedEvent { application, entity, event, published: None }, clock::since_1970());
}

/// Returns the action in a record's CloudEvents type, `com.alibabacloud.idaas.<entity>.<action>.v1`. Allocates
/// nothing.
fn action(record: &Record) -> Option<Action> {
    let kind = match record.headers.get(HeaderName::Type) {
        Some(kind) => kind,
        None => {
            let begin = record.value.get(..record.value.len().min(MAX_BEFORE_TYPE))?;
            // The cut can split a character.
            let begin = begin.utf8_chunks().next()?.valid();
            begin.split_once(TYPE_MEMBER)?.1.split_once('"')?.0
        }
    };
    let (name, _version) = kind.rsplit_once('.')?;
    Action::of(name.rsplit_once('.')?.1)
}

/// Returns the CloudEvents type, from a header or from a structured value.
fn kind(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let header = record.headers.get(HeaderName::Type).map(str::to_owned);
    header.or_else(|| serde_json::from_slice(&record.value).ok().map(|typed: Typed| typed.r#type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &[(HeaderName, &str)], value: &str) -> Record {
        let (topic, value, headers) = ("topic".into(), value.into(), headers.iter().copied().collect());
        Record { entity: Entity::User, topic, key: None, value, headers, timestamp: 0 }
    }

    #[test]
    fn the_action_is_known_in_both_modes() {
        let kind = "com.alibabacloud.idaas.user.password_changed.v1";
        let binary = record(&[(HeaderName::Id, "evnt"), (HeaderName::Type, kind)], "{}");
        assert_eq!(action(&binary), Some(Action::PasswordChanged));
        let id = r#"\"type\":\"com.alibabacloud.idaas.user.deleted.v1\""#;
        let value = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/é","type":"{kind}","data":{{}}}}"#);
        assert_eq!(action(&record(&[], &value)), Some(Action::PasswordChanged));
        assert_eq!(action(&record(&[], "{}")), None);
    }
}
