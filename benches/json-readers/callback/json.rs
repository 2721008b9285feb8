//! The interface of `crates/idaas-callback/src/json` on a library: `serde_json`, or `sonic-rs` with that feature. It uses
//! the fastest means of the library: values borrowed and unread, members and elements by visitors, no trees.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[cfg(not(feature = "sonic-rs"))]
mod library {
    use serde::Deserialize;

    use super::*;

    pub(super) fn reader(text: &str) -> serde_json::Deserializer<serde_json::de::StrRead<'_>> {
        serde_json::Deserializer::from_str(text)
    }

    pub(super) fn unread<'a, D: Deserializer<'a>>(deserializer: D, _: &'a str) -> Result<&'a str, D::Error> {
        <&RawValue>::deserialize(deserializer).map(RawValue::get)
    }
}

#[cfg(feature = "sonic-rs")]
mod library {
    use super::*;

    pub(super) fn reader(text: &str) -> sonic_rs::Deserializer<sonic_rs::Read<'_>> {
        sonic_rs::Deserializer::from_str(text).utf8_lossy()
    }

    /// What `LazyValue` does, which copies a string with escapes. Here its place in `text` is found instead.
    pub(super) fn unread<'a, D: Deserializer<'a>>(deserializer: D, text: &'a str) -> Result<&'a str, D::Error> {
        deserializer.deserialize_newtype_struct("$sonic_rs::LazyValue", Place(text))
    }

    struct Place<'a>(&'a str);

    impl<'a> Visitor<'a> for Place<'a> {
        type Value = &'a str;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a value")
        }

        fn visit_borrowed_str<E>(self, value: &'a str) -> Result<&'a str, E> {
            Ok(value)
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<&'a str, E> {
            place(self.0, value).and_then(|place| self.0.get(place)).ok_or_else(|| E::custom("not in the text"))
        }
    }
}

/// Reads one value and nothing after it.
fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Option<S::Value> {
    let mut reader = library::reader(text);
    let value = seed.deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| value)
}

/// A JSON value as it was written.
#[derive(Clone, Copy)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    pub const NULL: Raw<'static> = Raw("null");

    pub const fn get(self) -> &'a str {
        self.0
    }

    pub fn to_raw_value(self) -> Cow<'a, RawValue> {
        Cow::Borrowed(serde_json::from_str(self.0).unwrap_or(RawValue::NULL))
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        read(text, Value(text))
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self(value.get())
    }
}

/// Reads a value of this text as it is written.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl<'a> DeserializeSeed<'a> for Value<'a> {
    type Value = Raw<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Raw<'a>, D::Error> {
        library::unread(deserializer, self.0).map(Raw)
    }
}

/// Implements `DeserializeSeed` for a visitor.
macro_rules! seed {
    ($method:ident, $seed:ty, $value:ty) => {
        impl<'a> DeserializeSeed<'a> for $seed {
            type Value = $value;

            fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.$method(self)
            }
        }
    };
}

/// Reads the content of a string.
struct Text;
seed!(deserialize_str, Text, Cow<'a, str>);

impl<'a> Visitor<'a> for Text {
    type Value = Cow<'a, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[derive(Clone, Copy)]
pub struct LargeMember {
    pub name: &'static str,
    /// Not used: a library does not take an expected size.
    pub capacity: usize,
}

/// The members of an object in their order.
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
    large: Option<Raw<'a>>,
}

/// Reads an object of this text.
#[derive(Clone, Copy)]
struct Object<'a> {
    text: &'a str,
    expected: usize,
    large: Option<LargeMember>,
}
seed!(deserialize_map, Object<'a>, Members<'a>);

impl<'a> Visitor<'a> for Object<'a> {
    type Value = Members<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut members, mut large) = (Vec::with_capacity(self.expected), None);
        while let Some(name) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(Value(self.text))?;
            if self.large.is_some_and(|wanted| name == wanted.name) {
                large = Some(value);
            }
            members.push((name, value));
        }
        Ok(Members { members, large })
    }
}

impl<'a> Members<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        read(text, Object { text, expected: 32, large: None })
    }

    pub fn parse_with(text: &'a str, large: LargeMember) -> Option<Self> {
        read(text, Object { text, expected: 32, large: Some(large) })
    }

    pub fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.members.len());
        !self.members.iter().all(|(name, _)| seen.insert(&**name))
    }

    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    pub fn take_large(&mut self) -> Option<Cow<'a, str>> {
        self.large.take().map(unwrapped)
    }

    pub fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.members.into_iter()
    }
}

/// An element of an array: its members, if it is an object.
pub struct Element<'a>(pub Option<Members<'a>>);

/// Reads an element.
#[derive(Clone, Copy)]
struct AnyElement<'a>(Object<'a>);
seed!(deserialize_any, AnyElement<'a>, Element<'a>);

macro_rules! not_an_object {
    ($($visit:ident($($type:ty)?))*) => {
        $(fn $visit<E>(self $(, _: $type)?) -> Result<Element<'a>, E> {
            Ok(Element(None))
        })*
    };
}

impl<'a> Visitor<'a> for AnyElement<'a> {
    type Value = Element<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    not_an_object!(visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) visit_unit());

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Element<'a>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element(None))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Element<'a>, A::Error> {
        self.0.visit_map(map).map(|members| Element(Some(members)))
    }
}

pub type MaxElements = fn(usize) -> usize;

pub const ANY: MaxElements = |_| usize::MAX;

/// Reads an array, one element after the other.
struct List<S, F> {
    element: S,
    max: usize,
    make: F,
}

impl<'a, S: DeserializeSeed<'a> + Copy, T, F: FnMut(S::Value) -> T> DeserializeSeed<'a> for List<S, F> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a, S: DeserializeSeed<'a> + Copy, T, F: FnMut(S::Value) -> T> Visitor<'a> for List<S, F> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut made = Vec::new();
        while let Some(element) = sequence.next_element_seed(self.element)? {
            if made.len() >= self.max {
                return Err(A::Error::custom("too many elements"));
            }
            made.push((self.make)(element));
        }
        Ok(made)
    }
}

pub fn map_elements<'a, T>(
    json: &'a str,
    density: MaxElements,
    large: Option<LargeMember>,
    make: impl FnMut(Element<'a>) -> T,
) -> Option<Vec<T>> {
    // A visitor does not know how far the library has read, so the limit is that of the whole text.
    let element = AnyElement(Object { text: json, expected: 6, large });
    read(json, List { element, max: density(json.len()), make })
}

pub fn elements(json: &str) -> Option<Vec<Raw<'_>>> {
    read(json, List { element: Value(json), max: usize::MAX, make: |element| element })
}

pub fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    value.get().starts_with('"').then(|| read(value.get(), Text))?
}

// What follows is the same as in the crate.

pub fn identifier(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match text(value) {
        Some(text) => (!text.is_empty()).then_some(text),
        None => whole_number(value.get()).then(|| Cow::Borrowed(value.get())),
    }
}

pub fn whole_number(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let place = from..from.wrapping_add(part.len());
    text.get(place.clone()).map(|_| place)
}

pub fn is_null(value: Raw<'_>) -> bool {
    value.get() == "null"
}

pub fn unwrapped(value: Raw<'_>) -> Cow<'_, str> {
    text(value).unwrap_or(Cow::Borrowed(value.get()))
}
