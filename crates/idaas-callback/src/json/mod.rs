//! Reads JSON without building trees: members and texts are borrowed from the input.
//!
//! Invalid JSON is rejected, but never the content of valid JSON: a broken surrogate pair in a name must not lose an
//! event.

mod read;
mod string;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

pub(crate) use read::LargeMember;
pub use read::Raw;
use read::Reader;

/// The members of a JSON object in their order, with unparsed values. A name can occur more than once, as in the
/// input.
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
    /// The text of the last member with the requested name (see [`LargeMember`]).
    large_member: Option<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    /// Parses an object. `None` if `text` is anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::read(Reader::new(text, None))
    }

    /// As [`Members::parse`], but `None` also if the object has more than `max` members. Each takes fifty bytes of
    /// memory, and the shortest has five bytes in the input.
    pub(crate) fn parse_limited(text: &'a str, max: usize) -> Option<Self> {
        Self::read(Reader::new(text, None).with_max_members(max))
    }

    /// Parses an object and extracts the text of its largest member in the same pass.
    pub(crate) fn parse_with(text: &'a str, large_member: LargeMember) -> Option<Self> {
        Self::read(Reader::new(text, Some(large_member)))
    }

    fn read(mut reader: Reader<'a>) -> Option<Self> {
        let members = reader.members(32)?;
        reader.end().then_some(members)
    }

    /// Whether a name occurs in it twice, so that two readers could see two different objects. Costs no more than the
    /// object's size, because it applies to data that is not authenticated yet.
    pub(crate) fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.members.len());
        !self.members.iter().all(|(name, _)| seen.insert(&**name))
    }

    /// Returns the value of a member. If the name occurs more than once, the last one wins, as in most JSON parsers.
    pub(crate) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// Takes the text of the large member: the content of a string, or any other value as written.
    pub(crate) const fn take_large(&mut self) -> Option<Cow<'a, str>> {
        self.large_member.take()
    }

    /// Returns all members in their order.
    #[expect(clippy::should_implement_trait, reason = "the iterator has no name")]
    pub fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.members.into_iter()
    }
}

/// An element of an array.
pub(crate) struct Element<'a> {
    /// The element as written.
    pub(crate) raw: Raw<'a>,
    /// Its members if it is an object.
    pub(crate) members: Option<Members<'a>>,
}

impl<'a> Element<'a> {
    /// Parses a value that was an element.
    pub(crate) fn of(raw: Raw<'a>) -> Self {
        Self { raw, members: Members::parse(raw.get()) }
    }
}

/// Returns the number of elements that are allowed in an array of this many bytes.
pub(crate) type MaxElements = fn(usize) -> usize;

/// Maps each element of a JSON array with `make`, one after the other, so that the memory for reading one is free
/// again for the next. Returns `None` if the text is not an array, or has more elements per byte than `max_elements`
/// allows; this is checked before each element. `large_member` is the large member of each element.
pub(crate) fn map_elements<'a, T>(
    json: &'a str,
    max_elements: MaxElements,
    large_member: Option<LargeMember>,
    mut make: impl FnMut(Element<'a>) -> T,
) -> Option<Vec<T>> {
    let mut reader = Reader::new(json, large_member);
    let made = reader.list(max_elements, |reader| {
        let element = if reader.next() == Some(b'{') {
            let (raw, members) = reader.object(6)?;
            Element { raw, members: Some(members) }
        } else {
            Element { raw: reader.value()?, members: None }
        };
        Some(make(element))
    })?;
    reader.end().then_some(made)
}

/// No limit.
pub(crate) const UNLIMITED: MaxElements = |_| usize::MAX;

/// Returns the unparsed elements of a JSON array. `None` if the value is not an array.
#[must_use]
pub fn elements(json: &str) -> Option<Vec<Raw<'_>>> {
    let mut reader = Reader::new(json, None);
    let elements = reader.list(UNLIMITED, Reader::value)?;
    reader.end().then_some(elements)
}

/// Returns the content of a JSON string, with U+FFFD for invalid Unicode. `None` if the value is not a string.
#[must_use]
pub fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    if value.escaped {
        return Reader::new(value.get(), None).content(value.get().len()).map(|(_, content)| Cow::Owned(content));
    }
    value.get().strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// Reads an identifier: the content of a non-empty string, or the digits of an integer. IDaaS sends both.
pub(crate) fn identifier(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match text(value) {
        Some(text) => (!text.is_empty()).then_some(text),
        None => whole_number(value.get()).then(|| Cow::Borrowed(value.get())),
    }
}

/// Returns true if `json` is written as an integer: digits with an optional sign, without fraction or exponent.
pub(crate) fn whole_number(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the range of `part` in `text`. `None` if `part` does not borrow from `text`, for example because it is a
/// constant.
pub(crate) fn range_of(text: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let range = from..from.wrapping_add(part.len());
    text.get(range.clone()).map(|_| range)
}

/// Returns true if the value is `null`.
pub(crate) fn is_null(value: Raw<'_>) -> bool {
    value.get() == "null"
}

/// Returns the content of a string that can contain JSON text, or any other value as written.
pub(crate) fn unwrapped(value: Raw<'_>) -> Cow<'_, str> {
    text(value).unwrap_or(Cow::Borrowed(value.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Raw<'_> {
        Raw::parse(json).unwrap()
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement_character() {
        assert_eq!(text(raw(r#""a\ud83dz""#)).unwrap(), "a\u{fffd}z");
        assert_eq!(text(raw(r#""\ud83d\u0041\udc00""#)).unwrap(), "\u{fffd}A\u{fffd}");
        assert_eq!(Members::parse(r#"{"\udc00": 1}"#).unwrap().get("\u{fffd}").unwrap().get(), "1");
    }

    #[test]
    fn every_escape_means_what_other_readers_of_json_take_it_for() {
        for json in [
            r#""""#,
            r#""plain""#,
            r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u4e2d\ud83d\ude00""#,
            r#""{\"a\":\"{\\\"b\\\":\\\"\\\\u4e2d\\\"}\"}""#,
            r#""\u0000é\\""#,
        ] {
            let expected: String = serde_json::from_str(json).unwrap();
            assert_eq!(text(raw(json)).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn a_list_has_no_more_elements_than_it_may() {
        let count = |json, max_elements| map_elements(json, max_elements, None, drop).map(|elements| elements.len());
        for json in ["[{},{}]", "[0,{}]", " [ 0 , [] ] "] {
            assert_eq!((count(json, |_| 2), count(json, |_| 1)), (Some(2), None), "{json}");
        }
        assert_eq!(count("[]", |_| 0), Some(0));
        for none in ["{}", "[{}", "[{}] x", "null", ""] {
            assert_eq!(count(none, UNLIMITED), None, "{none}");
        }
    }

    #[test]
    fn a_list_with_too_many_elements_stops_early() {
        let mut made = 0;
        let zeros = format!("[{}{{}}]", "0,".repeat(100_000));
        assert!(map_elements(&zeros, |bytes| 10 + bytes / 64, None, |_| made += 1).is_none());
        assert_eq!(made, 10);
    }

    #[test]
    fn a_member_twice_is_ambiguous_and_its_last_value_counts() {
        let members = Members::parse(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
        assert!(members.ambiguous());
        assert_eq!(members.get("a").unwrap().get(), "3");
    }

    #[test]
    fn an_identifier_is_a_filled_string_or_a_whole_number() {
        assert_eq!(identifier(raw(r#""x""#)).unwrap(), "x");
        assert_eq!(identifier(raw("12345678901234567890123")).unwrap(), "12345678901234567890123");
        for none in [r#""""#, "null", "1.5", "1e3", "true", "{}"] {
            assert!(identifier(raw(none)).is_none(), "{none}");
        }
    }
}
