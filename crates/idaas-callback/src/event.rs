//! The envelope of one event: id, type, time, entity id and data, in each form that IDaaS sends.

use std::borrow::Cow;

use super::field::{self, Additional, Field, milliseconds};
use super::json::{self, Element, LargeMember, Members, Raw};
use super::redact::{SECRET_MEMBER, contains_secret};
use super::timestamp::rfc3339;

/// The maximum length, in bytes, of an id or type in a dead letter whose content had to be shortened. Real ones have
/// fewer than a hundred.
pub(super) const MAX_ID_LENGTH: usize = 1024;

/// The largest member of an event. A user has one to two kilobytes.
pub(super) const DATA: LargeMember = LargeMember { name: "bizData", capacity: 2048 };

/// An event as sent.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) biz_id: Option<Cow<'a, str>>,
    pub(super) data: Option<Raw<'a>>,
    /// The data as JSON text, whether it was sent as an object or as a string that contains one.
    pub(super) data_text: Option<Cow<'a, str>>,
    pub(super) time: Option<Time>,
    pub(super) additional: Additional<'a>,
}

/// A valid `eventTime`.
#[derive(Clone)]
pub(super) struct Time {
    pub(super) milliseconds: i64,
    pub(super) rfc3339: String,
}

impl<'a> Event<'a> {
    /// Reads an event's envelope. All fields are empty if the element is not an object.
    pub(super) fn of(element: Element<'a>) -> Self {
        let mut members = element.members;
        let data_text = members.as_mut().and_then(Members::take_large);
        let mut read = Self { data_text, ..Self::default() };
        for (name, value) in members.into_iter().flat_map(Members::into_iter) {
            match &*name {
                "eventId" => read.id = json::identifier(value).filter(|_| !contains_secret(value)),
                "eventType" => {
                    read.event_type = json::text(value).filter(|kind| !kind.is_empty() && !contains_secret(value));
                }
                "bizId" => match field::identifier(value) {
                    Some(Field::Value(id)) => read.biz_id = Some(id),
                    Some(Field::Null | Field::Absent) => {}
                    None => read.additional.malformed(name, value),
                },
                "bizData" => read.data = Some(value),
                "eventTime" => {
                    read.time = Time::parse(value);
                    if read.time.is_none() && !json::is_null(value) {
                        read.additional.malformed(name, value);
                    }
                }
                SECRET_MEMBER => {}
                _ => read.additional.unknown(name, value),
            }
        }
        read
    }

    /// Returns the envelope without values that exceed [`MAX_ID_LENGTH`], for an event whose dead letter would
    /// otherwise be too large.
    pub(super) fn shortened(&self) -> Event<'a> {
        let owned = |text: &Option<Cow<'a, str>>| text.as_ref().filter(|text| text.len() <= MAX_ID_LENGTH).cloned();
        let time = self.time.clone();
        Event {
            id: owned(&self.id),
            event_type: owned(&self.event_type),
            biz_id: owned(&self.biz_id),
            time,
            ..Event::default()
        }
    }
}

impl Time {
    /// Reads a time in milliseconds since 1970. `None` if it is not a number, is "never", or is outside the years
    /// that RFC 3339 can express.
    fn parse(value: Raw<'_>) -> Option<Self> {
        let milliseconds =
            milliseconds(&json::unwrapped(value)).filter(|milliseconds| *milliseconds != field::NEVER)?;
        Some(Self { milliseconds, rfc3339: rfc3339(milliseconds)? })
    }
}
