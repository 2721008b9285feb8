//! One event's frame: id, type, time, entity id and data, in whatever form they came.

use std::borrow::Cow;

use super::field::{self, Additional, Field, milliseconds};
use super::json::{self, Bulk, Element, Members, Raw};
use super::redact::{SECRET_MEMBER, redacted};
use super::timestamp::rfc3339;
use super::value::EventTime;

/// The longest id or type, in bytes, that a dead letter keeps when it would not fit otherwise. Real ones have fewer than
/// a hundred.
pub(super) const LONGEST_NAME: usize = 1024;

/// The member that holds the most of an event; a user takes a kilobyte or two.
pub(super) const DATA: Bulk = Bulk { name: "bizData", room: 2048 };

/// An event as sent. Only the reading of a callback makes one.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) biz_id: Option<Cow<'a, str>>,
    pub(super) data: Option<Raw<'a>>,
    /// The data as JSON, whether it came as an object or as a string that holds one.
    pub(super) data_text: Option<Cow<'a, str>>,
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
    AsSent(Raw<'a>),
}

impl<'a> Event<'a> {
    /// Reads an event's frame. Nothing is in it where it is no object.
    pub(super) fn of(Element(mut members): Element<'a>) -> Self {
        let data_text = members.as_mut().and_then(Members::take_bulk);
        let mut read = Self { data_text, ..Self::default() };
        for (name, value) in members.into_iter().flat_map(Members::into_iter) {
            match &*name {
                "eventId" => read.id = json::identifier(value),
                "eventType" => read.kind = json::text(value).filter(|kind| !kind.is_empty()),
                "bizId" => match field::identifier(value) {
                    Some(Field::Value(id)) => read.biz_id = Some(id),
                    Some(Field::Null | Field::Absent) => {}
                    None => read.additional.malformed(name, value),
                },
                "bizData" => read.data = Some(value),
                "eventTime" => read.time = Time::parse(value),
                SECRET_MEMBER => {}
                _ => read.additional.unknown(name, value),
            }
        }
        read
    }

    /// The frame without what is longer than any real one, for the dead letter of an event that fits in no other way.
    pub(super) fn shortened(&self) -> Event<'a> {
        let kept = |text: &Option<Cow<'a, str>>| text.as_ref().filter(|text| text.len() <= LONGEST_NAME).cloned();
        let time = match &self.time {
            Time::Known { milliseconds, rfc3339 } => {
                Time::Known { milliseconds: *milliseconds, rfc3339: rfc3339.clone() }
            }
            Time::AsSent(value) if value.get().len() <= LONGEST_NAME => Time::AsSent(*value),
            Time::Absent | Time::AsSent(_) => Time::Absent,
        };
        Event { id: kept(&self.id), kind: kept(&self.kind), biz_id: kept(&self.biz_id), time, ..Event::default() }
    }
}

impl<'a> Time<'a> {
    fn parse(value: Raw<'a>) -> Self {
        // What happened at "never" has no time.
        let known = milliseconds(&json::unwrapped(value))
            .filter(|milliseconds| *milliseconds != field::NEVER)
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
            Self::AsSent(value) => Some(EventTime::AsSent(redacted(*value))),
        }
    }
}
