//! Reading the sender's JSON without building trees: members and texts borrowed from the input.
//!
//! Everything here takes syntactically valid JSON (or finds that it is not) and never fails on content: a broken
//! surrogate pair in a name must not cost an event.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, values unread. Names can occur twice, as they can on the wire.
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object. `None` where `text` is anything else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether a name stands in it twice, so that two readers could see two different objects. Costs no more than the
    /// object's size, because it is asked of what nobody has authenticated yet.
    pub(crate) fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.0.len());
        !self.0.iter().all(|(name, _)| seen.insert(&**name))
    }

    /// The value of a member: of its last occurrence, as most readers of JSON take it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// All members in their order.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor { expected: 32 })
    }
}

/// `expected` is how many members there will be, most often: of an event's frame few, of a user many. Room for many in
/// each frame would be the largest part of what a callback of thousands of small events costs.
struct MembersVisitor {
    expected: usize,
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(self.expected);
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push((text(name).unwrap_or_default(), value));
        }
        Ok(Members(members))
    }
}

/// An element of an array: its members, where it is an object.
pub(crate) struct Element<'a>(pub(crate) Option<Members<'a>>);

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor { expected: 6 }).map(|members| Self(Some(members)))
    }
}

/// The elements of a JSON array, of which there may be `most`. `None` where the value is no array, or has more: found
/// out before they take any room.
pub(crate) fn objects(json: &str, most: usize) -> Option<Vec<Element<'_>>> {
    // One pass where all are objects, as they should be; two where one is not.
    list(json, most).or_else(|| {
        Some(list(json, most)?.into_iter().map(|raw: &RawValue| Element(Members::parse(raw.get()))).collect())
    })
}

/// Reads a JSON array of at most `most` elements.
fn list<'de, T: Deserialize<'de>>(json: &'de str, most: usize) -> Option<Vec<T>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let list = deserializer.deserialize_seq(ListVisitor { most, element: PhantomData }).ok()?;
    deserializer.end().ok()?;
    Some(list)
}

struct ListVisitor<T> {
    most: usize,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} elements", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == self.most {
                return Err(A::Error::invalid_length(self.most + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// The content of a JSON string; what is no Unicode in it becomes U+FFFD. `None` where the value is no string.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let content = value.get().strip_prefix('"')?.strip_suffix('"')?;
    // Most texts have no escape at all, and some are megabytes long.
    Some(match content.find('\\') {
        None => Cow::Borrowed(content),
        Some(first) => Cow::Owned(unescaped(content, first)),
    })
}

/// Where the next escape begins. They stand close together in JSON inside JSON, so a search that is made for long
/// texts would cost more than it saves.
fn backslash(content: &str) -> Option<usize> {
    content.as_bytes().iter().position(|byte| *byte == b'\\')
}

/// Resolves the escapes of a string's content (RFC 8259 §7), the first of which is at `first`. Half a surrogate pair
/// is no error here, as it is for most readers: a sender that cut a name in the middle of an emoji must not cost an
/// event. It becomes U+FFFD.
fn unescaped(content: &str, first: usize) -> String {
    let mut output = String::with_capacity(content.len());
    let (mut rest, mut escape) = (content, Some(first));
    while let Some(at) = escape {
        let (plain, escaped) = rest.split_at(at);
        output.push_str(plain);
        let (character, length) = match escaped.as_bytes().get(1) {
            Some(b'u') => unicode(escaped),
            Some(b'n') => ('\n', 2),
            Some(b't') => ('\t', 2),
            Some(b'r') => ('\r', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            // A quotation mark, a backslash or a slash: there is no other escape.
            Some(itself) => (char::from(*itself), 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        output.push(character);
        rest = escaped.get(length..).unwrap_or_default();
        escape = backslash(rest);
    }
    output.push_str(rest);
    output
}

/// Resolves `\uXXXX`, or two of them that are a surrogate pair: the character, and how many bytes it takes.
fn unicode(escaped: &str) -> (char, usize) {
    let unit = |at: usize| {
        let hex = escaped.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(hex, 16).ok()
    };
    let units = [unit(0), unit(6)];
    match char::decode_utf16(units.into_iter().map_while(|unit| unit)).next() {
        Some(Ok(character)) => (character, 6 * character.len_utf16()),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The elements of a JSON array, unread. `None` where the value is no array.
pub(crate) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    if json.trim_start().starts_with('[') { serde_json::from_str(json).ok() } else { None }
}

/// The content of a string that holds something, or the digits of a whole number: identifiers are sent as either.
pub(crate) fn identifier(value: &RawValue) -> Option<Cow<'_, str>> {
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

/// Whether the value is `null`.
pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// A value that came as JSON text inside a string, or as itself: the text to read, whatever the form.
pub(crate) fn unwrapped(value: &RawValue) -> Cow<'_, str> {
    text(value).unwrap_or(Cow::Borrowed(value.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
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
        let count = |json, most| objects(json, most).map(|elements| elements.len());
        for json in ["[{},{}]", "[0,{}]", " [ 0 , [] ] "] {
            assert_eq!((count(json, 2), count(json, 1)), (Some(2), None), "{json}");
        }
        assert_eq!(count("[]", 0), Some(0));
        for none in ["{}", "[{}", "[{}] x", "null", ""] {
            assert_eq!(count(none, 9), None, "{none}");
        }
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
