//! What operators see of one event, in its log line and in the history: ids and places, and nothing of what it says about
//! anybody.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::event_type::{Action, Entity};
use idaas_callback::record::Record;
use outbox::verdict::Verdict;
use serde::Deserialize;

use super::publication::EventPublication;
use crate::kafka::producer::{DeliveryOpaque, Position};
use crate::telemetry::event::{PublishedAt, RecordedEvent, TrackedEvent};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;

/// What the line says of the event, kept until its record is confirmed.
#[derive(Debug, Clone)]
pub struct EventLine {
    application: String,
    kind: String,
    entity_id: Option<String>,
    event_id: String,
    verdict: Verdict,
}

impl EventLine {
    /// The line of a record, if somebody reads it: at level info with `log.events`, else at level debug. A credential is
    /// a part of its user's event, and has no line of its own.
    pub(super) fn of(package: &EventPublication, record: &Record) -> Option<Box<Self>> {
        let wanted = logs::events() || tracing::enabled!(target: "event", tracing::Level::DEBUG);
        (wanted && record.entity != Entity::Credential).then(|| {
            Box::new(Self {
                application: package.source.name.clone(),
                kind: kind(record).unwrap_or_default(),
                entity_id: record.key.clone(),
                event_id: package.id.text().to_owned(),
                verdict: package.verdict,
            })
        })
    }

    /// Writes the line: the broker has confirmed the record at this position, so long after it was handed over.
    fn published(&self, entity: Entity, topic: &str, position: Position, took: Duration) {
        let Position { partition, offset } = position;
        let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
        let Self { application, kind, entity_id, event_id, verdict } = self;
        // The level of a line is a constant, so there are two of them.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "event",
                    application,
                    "type" = kind,
                    entity = entity.name(),
                    entity_id,
                    event_id,
                    verdict = verdict.code(),
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
}

/// What begins the CloudEvents type in a structured value. It is one of the first members.
const TYPE_MEMBER: &str = "\"type\":\"";

/// How much of a structured value can come before its type: version, id and source.
const MAX_BEFORE_TYPE: usize = 2048;

/// What is needed of an event until its record is confirmed.
pub(super) fn tracked(package: &EventPublication, record: &Record) -> TrackedEvent {
    let topic = Arc::clone(&record.topic);
    TrackedEvent::new(package.id.text(), record.key.as_deref(), action(record), package.verdict, topic)
}

/// The broker has confirmed a record at this position, so long after it was handed over.
pub(super) fn published(metrics: &Metrics, ticket: &DeliveryOpaque, topic: &str, position: Position, took: Duration) {
    if let Some(line) = &ticket.line {
        line.published(ticket.entity, topic, position, took);
    }
    let (Position { partition, offset }, event) = (position, &ticket.event);
    metrics.history.record(&RecordedEvent {
        application: &ticket.application,
        entity: ticket.entity,
        action: event.action,
        event_id: event.event_id(),
        entity_id: event.entity_id(),
        verdict: event.verdict,
        published: Some(PublishedAt { topic: &event.topic, partition, offset, took }),
    });
}

/// An event goes to the journal: nothing is confirmed yet.
pub(super) fn journaled(metrics: &Metrics, package: &EventPublication) {
    metrics.history.record(&RecordedEvent {
        application: &package.source.metrics,
        entity: package.record.entity,
        action: action(&package.record),
        event_id: package.id.text(),
        entity_id: package.record.key.as_deref(),
        verdict: Verdict::NotConfirmed,
        published: None,
    });
}

/// The action in a record's CloudEvents type, `com.alibabacloud.idaas.<entity>.<action>.v1`. Allocates nothing.
fn action(record: &Record) -> Option<Action> {
    let header = record.headers.iter().find(|(name, _)| *name == "ce_type");
    let kind = match header {
        Some((_, kind)) => kind.as_ref(),
        None => {
            let begin = record.value.get(..record.value.len().min(MAX_BEFORE_TYPE))?;
            // The cut can be within a character.
            let begin = begin.utf8_chunks().next()?.valid();
            begin.split_once(TYPE_MEMBER)?.1.split_once('"')?.0
        }
    };
    let (name, _version) = kind.rsplit_once('.')?;
    Action::of(name.rsplit_once('.')?.1)
}

/// The CloudEvents type: in a header, or in a structured value.
fn kind(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let header = record.headers.iter().find(|(name, _)| *name == "ce_type");
    header
        .map(|(_, value)| value.clone().into_owned())
        .or_else(|| serde_json::from_slice(&record.value).ok().map(|typed: Typed| typed.r#type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: Vec<(&'static str, std::borrow::Cow<'static, str>)>, value: &str) -> Record {
        let (topic, value) = ("topic".into(), value.into());
        Record { entity: Entity::User, topic, key: None, value, headers, timestamp: 0 }
    }

    #[test]
    fn the_action_is_known_in_both_modes() {
        let kind = "com.alibabacloud.idaas.user.password_changed.v1";
        let binary = record(vec![("ce_id", "evnt".into()), ("ce_type", kind.into())], "{}");
        assert_eq!(action(&binary), Some(Action::PasswordChanged));
        let id = r#"\"type\":\"com.alibabacloud.idaas.user.deleted.v1\""#;
        let value = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/é","type":"{kind}","data":{{}}}}"#);
        assert_eq!(action(&record(Vec::new(), &value)), Some(Action::PasswordChanged));
        assert_eq!(action(&record(Vec::new(), "{}")), None);
    }
}
