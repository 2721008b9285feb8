//! One field of the sender, read: absent, empty or a value; and what is noted of the fields that do not fit.
//!
//! The difference between absent and null is the consumers' contract: absent = IDaaS did not send it, null = it sent
//! it as empty or as "never". A field that does not fit is kept in `additional`, never dropped, never an error.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::json::{self, Raw};
use super::redact::redacted;
use super::timestamp::rfc3339;

/// A field as consumers get it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Not sent: left out.
    #[default]
    Absent,
    /// Sent as empty or "never": `null`.
    Null,
    /// Sent.
    Value(T),
}

impl<T> Field<T> {
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(crate) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The field with another value.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => Field::Value(change(value)),
        }
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent | Self::Null => serializer.serialize_none(),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

/// How far a record's fields were from what is documented. Counted, so that operators notice a change of the schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Fields of unknown name.
    pub unknown: u32,
    /// Known fields of an unexpected type or form.
    pub malformed: u32,
    /// Fields sent under their old and their new name with different values.
    pub conflicting: u32,
}

impl Drift {
    /// Adds what was noted of a part.
    pub(crate) fn add(&mut self, part: Self) {
        self.unknown += part.unknown;
        self.malformed += part.malformed;
        self.conflicting += part.conflicting;
    }
}

/// The fields that fit nowhere, under their own names, with the drift they mean.
#[derive(Default)]
pub(crate) struct Additional<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
    pub(crate) drift: Drift,
}

impl<'a> Additional<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The same fields, borrowing from nothing.
    pub(crate) fn into_owned(self) -> Additional<'static> {
        let owned = |(name, value): (Cow<'a, str>, Cow<'a, RawValue>)| {
            (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
        };
        Additional { fields: self.fields.into_iter().map(owned).collect(), drift: self.drift }
    }

    /// Keeps a field of unknown name.
    pub(crate) fn unknown(&mut self, name: Cow<'a, str>, value: Raw<'a>) {
        self.drift.unknown += 1;
        self.keep(name, value);
    }

    /// Keeps a known field that cannot be read.
    pub(crate) fn malformed(&mut self, name: Cow<'a, str>, value: Raw<'a>) {
        self.drift.malformed += 1;
        self.keep(name, value);
    }

    fn keep(&mut self, name: Cow<'a, str>, value: Raw<'a>) {
        self.fields.push((name, redacted(value)));
    }

    /// Keeps what another place noted, where the name is not taken.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.drift.add(other.drift);
        other.fields.append(&mut self.fields);
        self.fields = other.fields;
    }

    /// Each name once, with its last value. In one pass at the end, because there can be hundreds of thousands.
    fn distinct(&self) -> Vec<&(Cow<'a, str>, Cow<'a, RawValue>)> {
        let mut seen = HashSet::with_capacity(self.fields.len());
        let mut distinct: Vec<_> = self.fields.iter().rev().filter(|(name, _)| seen.insert(&**name)).collect();
        distinct.reverse();
        distinct
    }

    /// Reads a field by `reader`; what it cannot read is kept here, and absent there.
    pub(crate) fn read<T>(
        &mut self,
        name: Cow<'a, str>,
        value: Raw<'a>,
        reader: impl FnOnce(Raw<'a>) -> Option<Field<T>>,
    ) -> Field<T> {
        match reader(value) {
            Some(field) => field,
            None => {
                self.malformed(name, value);
                Field::Absent
            }
        }
    }

    /// One field out of its new and its old name: the new one counts, and a difference is noted.
    pub(crate) fn one_of<T: PartialEq>(&mut self, current: Field<T>, former: Field<T>) -> Field<T> {
        if current.is_absent() {
            return former;
        }
        if !former.is_absent() && former != current {
            self.drift.conflicting += 1;
        }
        current
    }
}

impl Serialize for Additional<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.distinct();
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            map.serialize_entry(name, value.as_ref())?;
        }
        map.end()
    }
}

/// Whether IDaaS means "nothing" by it.
fn is_empty(value: Raw<'_>) -> bool {
    matches!(value.get(), "null" | "\"\"")
}

/// A text. Empty means null.
pub(crate) fn text(value: Raw<'_>) -> Option<Field<Cow<'_, str>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    json::text(value).map(Field::Value)
}

/// An identifier: a text, or a whole number, of which the digits count.
pub(crate) fn identifier(value: Raw<'_>) -> Option<Field<Cow<'_, str>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    json::identifier(value).map(Field::Value)
}

/// True or false.
pub(crate) fn flag(value: Raw<'_>) -> Option<Field<bool>> {
    match value.get() {
        "true" => Some(Field::Value(true)),
        "false" => Some(Field::Value(false)),
        _ => is_empty(value).then_some(Field::Null),
    }
}

/// What IDaaS sends for "never".
pub(crate) const NEVER: i64 = -1;

/// Milliseconds since 1970, as a number or as its digits; `-1` means never.
pub(crate) fn time(value: Raw<'_>) -> Option<Field<String>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    let digits = json::unwrapped(value);
    match milliseconds(&digits)? {
        NEVER => Some(Field::Null),
        milliseconds => rfc3339(milliseconds).map(Field::Value),
    }
}

/// A count of milliseconds as it is written: an integer that fits 64 bits.
pub(crate) fn milliseconds(digits: &str) -> Option<i64> {
    if json::whole_number(digits) { digits.parse().ok() } else { None }
}

/// A list of objects, each read by `element`. `None`, so kept whole elsewhere, where it holds anything else.
pub(crate) fn list<'a, T>(value: Raw<'a>, mut element: impl FnMut(json::Members<'a>) -> T) -> Option<Field<Vec<T>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    let read = json::map_elements(value.get(), json::ANY, None, |json::Element(members)| members.map(&mut element))?;
    read.into_iter().collect::<Option<Vec<_>>>().map(Field::Value)
}
