//! The log line of one published event: ids and places, and nothing of what it says about anybody.

use std::time::Duration;

use idaas_callback::event_type::Entity;
use idaas_callback::record::Record;
use outbox::verdict::Verdict;
use serde::Deserialize;

use super::publication::EventPublication;
use crate::kafka::producer::Position;
use crate::telemetry::logs;

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
    pub(super) fn published(&self, entity: Entity, topic: &str, position: Position, took: Duration) {
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
