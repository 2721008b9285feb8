//! The interface of `crates/idaas-callback/src/json` on a library: `serde_json`, or `sonic-rs` with that feature. As good
//! as it can be made with the library's own means, in one pass where the library has one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[cfg(not(feature = "sonic-rs"))]
mod library {
    use serde::de::DeserializeSeed;
    use serde_json::value::RawValue;

    pub(super) type Unread<'a> = &'a RawValue;

    pub(super) fn written<'a>(value: Unread<'a>) -> Option<&'a str> {
        Some(value.get())
    }

    pub(super) fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Option<S::Value> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = seed.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(value)
    }

    /// A string with half a surrogate pair: only its bytes can be had, which are then not UTF-8.
    pub(super) fn lossy(text: &str) -> Option<String> {
        struct Bytes;
        impl<'a> serde::de::Visitor<'a> for Bytes {
            type Value = String;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
                Ok(String::from_utf8_lossy(bytes).into_owned())
            }
        }
        serde::de::Deserializer::deserialize_bytes(&mut serde_json::Deserializer::from_str(text), Bytes).ok()
    }
}

#[cfg(feature = "sonic-rs")]
mod library {
    use std::borrow::Cow;

    use serde::Deserialize;
    use serde::de::DeserializeSeed;

    pub(super) type Unread<'a> = sonic_rs::LazyValue<'a>;

    pub(super) fn written<'a>(value: Unread<'a>) -> Option<&'a str> {
        match value.as_raw_cow() {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    pub(super) fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Option<S::Value> {
        let mut deserializer = sonic_rs::Deserializer::from_str(text);
        let value = seed.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(value)
    }

    pub(super) fn lossy(text: &str) -> Option<String> {
        String::deserialize(&mut sonic_rs::Deserializer::from_str(text).utf8_lossy()).ok()
    }
}

/// A JSON value as it was written, known to be valid.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    json: &'a str,
}

impl<'a> Raw<'a> {
    pub(crate) const NULL: Raw<'static> = Raw { json: "null" };

    pub const fn get(self) -> &'a str {
        self.json
    }

    pub(crate) fn to_raw_value(self) -> Cow<'a, RawValue> {
        Cow::Borrowed(serde_json::from_str(self.json).unwrap_or(RawValue::NULL))
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        library::read(text, Value).map(|json| Self { json })
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self { json: value.get() }
    }
}

/// A value, unread.
struct Value;

impl<'a> DeserializeSeed<'a> for Value {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<&'a str, D::Error> {
        let value = library::Unread::deserialize(deserializer)?;
        library::written(value).ok_or_else(|| serde::de::Error::custom("not borrowed"))
    }
}

/// The content of a string.
struct Text;

impl<'a> DeserializeSeed<'a> for Text {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

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

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

/// The member that holds the most, by its name; how much room it needs is the library's business.
#[derive(Clone, Copy)]
pub(crate) struct LargeMember {
    pub(crate) name: &'static str,
    #[allow(dead_code)]
    pub(crate) room: usize,
}

/// The members of an object in their order.
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
    large: Option<Raw<'a>>,
}

/// Reads an object: `1` asks for room for so many members.
struct Object(usize, Option<LargeMember>);

impl<'a> DeserializeSeed<'a> for Object {
    type Value = Members<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object {
    type Value = Members<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut members, mut large) = (Vec::with_capacity(self.0), None);
        while let Some(name) = map.next_key_seed(Text)? {
            let value = Raw { json: map.next_value_seed(Value)? };
            if self.1.is_some_and(|wanted| name == wanted.name) {
                large = Some(value);
            }
            members.push((name, value));
        }
        Ok(Members { members, large })
    }
}

impl<'a> Members<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        library::read(text, Object(32, None))
    }

    pub(crate) fn parse_with(text: &'a str, large: LargeMember) -> Option<Self> {
        library::read(text, Object(32, Some(large)))
    }

    pub(crate) fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.members.len());
        !self.members.iter().all(|(name, _)| seen.insert(&**name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    pub(crate) fn take_large(&mut self) -> Option<Cow<'a, str>> {
        self.large.take().map(unwrapped)
    }

    #[expect(clippy::should_implement_trait, reason = "as in the crate")]
    pub fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.members.into_iter()
    }
}

/// An element of an array: its members, if it is an object.
pub(crate) struct Element<'a>(pub(crate) Option<Members<'a>>);

struct AnyElement(Option<LargeMember>);

impl<'a> DeserializeSeed<'a> for AnyElement {
    type Value = Element<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! not_an_object {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Element<'a>, E> {
            Ok(Element(None))
        })*
    };
}

impl<'a> Visitor<'a> for AnyElement {
    type Value = Element<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    not_an_object!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Element<'a>, E> {
        Ok(Element(None))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Element<'a>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element(None))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Element<'a>, A::Error> {
        Object(6, self.0).visit_map(map).map(|members| Element(Some(members)))
    }
}

/// How many elements so many bytes of an array may hold.
pub(crate) type MaxElements = fn(usize) -> usize;

/// As dense as can be.
pub(crate) const ANY: MaxElements = |_| usize::MAX;

/// An array, one element after the other.
struct List<F> {
    large: Option<LargeMember>,
    max: usize,
    make: F,
}

impl<'a, T, F: FnMut(Element<'a>) -> T> DeserializeSeed<'a> for List<F> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a, T, F: FnMut(Element<'a>) -> T> Visitor<'a> for List<F> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut made = Vec::new();
        while let Some(element) = sequence.next_element_seed(AnyElement(self.large))? {
            // A library does not say how far it has read, so the whole text counts.
            if made.len() >= self.max {
                return Err(serde::de::Error::custom("too many elements"));
            }
            made.push((self.make)(element));
        }
        Ok(made)
    }
}

pub(crate) fn each<'a, T>(
    json: &'a str,
    density: MaxElements,
    large: Option<LargeMember>,
    make: impl FnMut(Element<'a>) -> T,
) -> Option<Vec<T>> {
    library::read(json, List { large, max: density(json.len()), make })
}

struct Elements;

impl<'a> DeserializeSeed<'a> for Elements {
    type Value = Vec<Raw<'a>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<Raw<'a>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(json) = sequence.next_element_seed(Value)? {
            elements.push(Raw { json });
        }
        Ok(elements)
    }
}

pub fn elements(json: &str) -> Option<Vec<Raw<'_>>> {
    library::read(json, Elements)
}

pub fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    if !value.get().starts_with('"') {
        return None;
    }
    library::read(value.get(), Text).or_else(|| library::lossy(value.get()).map(Cow::Owned))
}

pub(crate) fn identifier(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match text(value) {
        Some(text) => (!text.is_empty()).then_some(text),
        None => whole_number(value.get()).then(|| Cow::Borrowed(value.get())),
    }
}

pub(crate) fn whole_number(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let place = from..from.wrapping_add(part.len());
    text.get(place.clone()).map(|_| place)
}

pub(crate) fn is_null(value: Raw<'_>) -> bool {
    value.get() == "null"
}

pub(crate) fn unwrapped(value: Raw<'_>) -> Cow<'_, str> {
    text(value).unwrap_or(Cow::Borrowed(value.get()))
}
