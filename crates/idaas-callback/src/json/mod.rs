//! Reading the sender's JSON without building trees: members and texts borrowed from the input.
//!
//! Everything here takes syntactically valid JSON (or finds that it is not) and never fails on content: a broken
//! surrogate pair in a name must not cost an event.

mod read;
mod string;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

pub(crate) use read::LargeMember;
pub use read::Raw;
use read::Reader;

/// The members of a JSON object in their order, values unread. Names can occur twice, as they can on the wire.
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
    /// The text of the last member called as was asked for.
    bulk: Option<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    /// Reads an object. `None` where `text` is anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::read(Reader::new(text, None))
    }

    /// Reads an object of which `bulk` holds the most: its text comes of the same pass.
    pub(crate) fn parse_with(text: &'a str, bulk: LargeMember) -> Option<Self> {
        Self::read(Reader::new(text, Some(bulk)))
    }

    fn read(mut reader: Reader<'a>) -> Option<Self> {
        let members = reader.members(32)?;
        reader.end().then_some(members)
    }

    /// Whether a name stands in it twice, so that two readers could see two different objects. Costs no more than the
    /// object's size, because it applies to data that is not authenticated yet.
    pub(crate) fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.members.len());
        !self.members.iter().all(|(name, _)| seen.insert(&**name))
    }

    /// The value of a member: of its last occurrence, as most readers of JSON take it.
    pub(crate) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// The text of the member that holds the most: of a string its content, of any other value the value as written.
    pub(crate) const fn take_large(&mut self) -> Option<Cow<'a, str>> {
        self.bulk.take()
    }

    /// All members in their order.
    #[expect(clippy::should_implement_trait, reason = "the iterator has no name")]
    pub fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.members.into_iter()
    }
}

/// An element of an array: its members, where it is an object.
pub(crate) struct Element<'a>(pub(crate) Option<Members<'a>>);

/// How many elements so many bytes of an array may hold.
pub(crate) type MaxElements = fn(usize) -> usize;

/// What `make` makes of each element of a JSON array. `None` where the value is no array, or is denser than it may be at
/// any place, which is found out before more is made. `bulk` holds the most of each. One element after the other, so that
/// what it takes to read one is free again for the next.
pub(crate) fn map_elements<'a, T>(
    json: &'a str,
    density: MaxElements,
    bulk: Option<LargeMember>,
    make: impl FnMut(Element<'a>) -> T,
) -> Option<Vec<T>> {
    let mut reader = Reader::new(json, bulk);
    let made = reader.elements(density, make)?;
    reader.end().then_some(made)
}

/// As dense as can be.
pub(crate) const ANY: MaxElements = |_| usize::MAX;

/// The elements of a JSON array, unread. `None` where the value is no array.
#[must_use]
pub fn elements(json: &str) -> Option<Vec<Raw<'_>>> {
    let mut reader = Reader::new(json, None);
    let elements = reader.list(ANY, Reader::value)?;
    reader.end().then_some(elements)
}

/// The content of a JSON string; what is no Unicode in it becomes U+FFFD. `None` where the value is no string.
#[must_use]
pub fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    if value.escaped {
        return Reader::new(value.get(), None).content(value.get().len()).map(|(_, content)| Cow::Owned(content));
    }
    value.get().strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// The content of a string that holds something, or the digits of a whole number: identifiers are sent as either.
pub(crate) fn identifier(value: Raw<'_>) -> Option<Cow<'_, str>> {
    match text(value) {
        Some(text) => (!text.is_empty()).then_some(text),
        None => whole_number(value.get()).then(|| Cow::Borrowed(value.get())),
    }
}

/// Whether `json` is an integer as written: digits, perhaps with a sign, no fraction, no exponent.
pub(crate) fn whole_number(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where `part`, which borrows from `text`, stands in it. `None` where it borrows from elsewhere, as a constant does.
pub(crate) fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let place = from..from.wrapping_add(part.len());
    text.get(place.clone()).map(|_| place)
}

/// Whether the value is `null`.
pub(crate) fn is_null(value: Raw<'_>) -> bool {
    value.get() == "null"
}

/// A value that came as JSON text inside a string, or as itself: the text to read, whatever the form.
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
        let count = |json, density| map_elements(json, density, None, drop).map(|elements| elements.len());
        for json in ["[{},{}]", "[0,{}]", " [ 0 , [] ] "] {
            assert_eq!((count(json, |_| 2), count(json, |_| 1)), (Some(2), None), "{json}");
        }
        assert_eq!(count("[]", |_| 0), Some(0));
        for none in ["{}", "[{}", "[{}] x", "null", ""] {
            assert_eq!(count(none, ANY), None, "{none}");
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
