//! One event's frame: id, type, time, entity id and data, in whatever form they came.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::field::{Additional, Field, identifier, milliseconds, text};
use super::json::{self, Members};
use super::redact::{SECRET_MEMBER, redacted};
use super::timestamp::rfc3339;
use super::value::EventTime;

/// An event as sent. Only the reading of a callback makes one.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) biz_id: Option<Cow<'a, str>>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) time: Time<'a>,
    pub(super) additional: Additional<'a>,
}

/// `eventTime`, as far as it is a time.
#[derive(Default)]
pub(super) enum Time<'a> {
    #[default]
    Absent,
    Known {
        milliseconds: i64,
        rfc3339: String,
    },
    AsSent(&'a RawValue),
}

impl<'a> Event<'a> {
    /// Reads an event's frame. `None` where it is no object.
    pub(super) fn parse(event: &'a RawValue) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in Members::parse(event.get())?.into_iter() {
            match &*name {
                "eventId" => read.id = value_of(identifier(value)),
                "eventType" => read.kind = value_of(text(value)),
                "bizId" => read.biz_id = value_of(Some(read.additional.read(name, value, identifier))),
                "bizData" => read.data = Some(value),
                "eventTime" => read.time = Time::parse(value),
                SECRET_MEMBER => {}
                _ => read.additional.unknown(name, value),
            }
        }
        Some(read)
    }
}

fn value_of<T>(field: Option<Field<T>>) -> Option<T> {
    match field {
        Some(Field::Value(value)) => Some(value),
        Some(Field::Null | Field::Absent) | None => None,
    }
}

impl<'a> Time<'a> {
    fn parse(value: &'a RawValue) -> Self {
        let known = milliseconds(&json::unwrapped(value))
            .and_then(|milliseconds| Some(Self::Known { milliseconds, rfc3339: rfc3339(milliseconds)? }));
        match known {
            Some(known) => known,
            None if json::is_null(value) => Self::Absent,
            None => Self::AsSent(value),
        }
    }

    /// The time in RFC 3339.
    pub(super) fn rfc3339(&self) -> Option<&str> {
        match self {
            Self::Known { rfc3339, .. } => Some(rfc3339),
            Self::Absent | Self::AsSent(_) => None,
        }
    }

    /// The time in milliseconds since 1970.
    pub(super) const fn milliseconds(&self) -> Option<i64> {
        match self {
            Self::Known { milliseconds, .. } => Some(*milliseconds),
            Self::Absent | Self::AsSent(_) => None,
        }
    }

    /// The time as it stands in a record's `origin`.
    pub(super) fn in_origin(&self) -> Option<EventTime<'_>> {
        match self {
            Self::Absent => None,
            Self::Known { rfc3339, .. } => Some(EventTime::Known(rfc3339)),
            Self::AsSent(value) => Some(EventTime::AsSent(redacted(value))),
        }
    }
}
