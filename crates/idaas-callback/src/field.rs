//! A field of an event: absent, null or a value; and the fields that do not fit the schema.
//!
//! Consumers depend on the difference between absent and null. Absent means that IDaaS did not send the field; null
//! means that it sent it as empty or as "never". A field that does not fit the schema is kept in `additional`; it is
//! never dropped and never an error.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::json::{self, Raw};
use super::redact::{contains_secret, redacted};
use super::timestamp::rfc3339;

/// A field as consumers see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Not sent. The record does not contain it.
    #[default]
    Absent,
    /// Sent as empty or "never". It is `null` in the record.
    Null,
    /// Sent with a value.
    Value(T),
}

impl<T> Field<T> {
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(crate) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Applies a function to the value.
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
    /// Fields with an unknown name.
    pub unknown: u32,
    /// Known fields with an unexpected type or format.
    pub malformed: u32,
    /// Fields sent under their old and their new name with different values.
    pub conflicting: u32,
}

impl Drift {
    /// Adds the counts of a part of the record.
    pub(crate) fn add(&mut self, part: Self) {
        self.unknown += part.unknown;
        self.malformed += part.malformed;
        self.conflicting += part.conflicting;
    }
}

/// The fields that do not fit the schema, under their own names, and the drift that they cause.
#[derive(Default)]
pub(crate) struct Additional<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
    pub(crate) drift: Drift,
}

impl<'a> Additional<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns a copy that borrows nothing.
    pub(crate) fn into_owned(self) -> Additional<'static> {
        let owned = |(name, value): (Cow<'a, str>, Cow<'a, RawValue>)| {
            (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
        };
        Additional { fields: self.fields.into_iter().map(owned).collect(), drift: self.drift }
    }

    /// Keeps a field with an unknown name.
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

    /// Adds the fields and the drift of `other`. Where both have a field of the same name, this one's value is kept.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.drift.add(other.drift);
        other.fields.append(&mut self.fields);
        self.fields = other.fields;
    }

    /// Returns each name once, with its last value. Runs once at the end, because there can be hundreds of thousands
    /// of fields.
    fn distinct(&self) -> Vec<&(Cow<'a, str>, Cow<'a, RawValue>)> {
        let mut seen = HashSet::with_capacity(self.fields.len());
        let mut distinct: Vec<_> = self.fields.iter().rev().filter(|(name, _)| seen.insert(&**name)).collect();
        distinct.reverse();
        distinct
    }

    /// Reads a field with `reader`. If it cannot be read, keeps it here and returns [`Field::Absent`].
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

    /// Merges a field that was sent under its new and its old name. The new one wins; a difference is counted as
    /// drift.
    pub(crate) fn one_of<T: PartialEq>(&mut self, current: Field<T>, old: Field<T>) -> Field<T> {
        if current.is_absent() {
            return old;
        }
        if !old.is_absent() && old != current {
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

/// Returns true for the values by which IDaaS means "nothing".
fn is_empty(value: Raw<'_>) -> bool {
    matches!(value.get(), "null" | "\"\"")
}

/// Reads a text. An empty text is null. JSON text with a password in it is not read.
pub(crate) fn text(value: Raw<'_>) -> Option<Field<Cow<'_, str>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    json::text(value).filter(|_| !contains_secret(value)).map(Field::Value)
}

/// Reads an identifier: a text or an integer, which is returned as its digits. JSON text with a password in it is not
/// read.
pub(crate) fn identifier(value: Raw<'_>) -> Option<Field<Cow<'_, str>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    json::identifier(value).filter(|_| !contains_secret(value)).map(Field::Value)
}

/// Reads a boolean.
pub(crate) fn flag(value: Raw<'_>) -> Option<Field<bool>> {
    match value.get() {
        "true" => Some(Field::Value(true)),
        "false" => Some(Field::Value(false)),
        _ => is_empty(value).then_some(Field::Null),
    }
}

/// The value that IDaaS sends for "never".
pub(crate) const NEVER: i64 = -1;

/// Reads a time in milliseconds since 1970, as a number or as a string of digits. `-1` means never.
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

/// Parses an integer that fits into 64 bits.
pub(crate) fn milliseconds(digits: &str) -> Option<i64> {
    if json::whole_number(digits) { digits.parse().ok() } else { None }
}

/// Reads a list of objects with `element`. `None` if it contains anything else; the caller then keeps it whole.
pub(crate) fn list<'a, T>(value: Raw<'a>, mut element: impl FnMut(json::Members<'a>) -> T) -> Option<Field<Vec<T>>> {
    if is_empty(value) {
        return Some(Field::Null);
    }
    let read = json::map_elements(value.get(), json::UNLIMITED, None, |item| item.members.map(&mut element))?;
    read.into_iter().collect::<Option<Vec<_>>>().map(Field::Value)
}
