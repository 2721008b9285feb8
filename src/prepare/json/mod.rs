//! Reading the sender's JSON without building trees: members and texts borrowed from the input.
//!
//! Everything here takes syntactically valid JSON (or finds that it is not) and never fails on content: a broken
//! surrogate pair in a name must not cost an event.

mod read;

use std::borrow::Cow;
use std::collections::HashSet;

pub(crate) use read::Raw;
use read::{Reader, backslash};

/// The members of a JSON object in their order, values unread. Names can occur twice, as they can on the wire.
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Members<'a> {
    /// Reads an object. `None` where `text` is anything else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut reader = Reader::new(text);
        let members = reader.members(32)?;
        reader.end().then_some(members)
    }

    /// Whether a name stands in it twice, so that two readers could see two different objects. Costs no more than the
    /// object's size, because it is asked of what nobody has authenticated yet.
    pub(crate) fn ambiguous(&self) -> bool {
        let mut seen = HashSet::with_capacity(self.0.len());
        !self.0.iter().all(|(name, _)| seen.insert(&**name))
    }

    /// The value of a member: of its last occurrence, as most readers of JSON take it.
    pub(crate) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().rev().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// All members in their order.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.0.into_iter()
    }
}

/// An element of an array: its members, where it is an object.
pub(crate) struct Element<'a>(pub(crate) Option<Members<'a>>);

/// The elements of a JSON array, of which there may be `most`. `None` where the value is no array, or has more: found
/// out before they take any room.
pub(crate) fn objects(json: &str, most: usize) -> Option<Vec<Element<'_>>> {
    let mut reader = Reader::new(json);
    let elements = reader.elements(most)?;
    reader.end().then_some(elements)
}

/// The elements of a JSON array, unread. `None` where the value is no array.
pub(crate) fn elements(json: &str) -> Option<Vec<Raw<'_>>> {
    let mut reader = Reader::new(json);
    let elements = reader.list(usize::MAX, Reader::value)?;
    reader.end().then_some(elements)
}

/// The content of a JSON string; what is no Unicode in it becomes U+FFFD. `None` where the value is no string.
pub(crate) fn text(value: Raw<'_>) -> Option<Cow<'_, str>> {
    let content = value.get().strip_prefix('"')?.strip_suffix('"')?;
    Some(if value.escaped { Cow::Owned(unescaped(content)) } else { Cow::Borrowed(content) })
}

/// Resolves the escapes of a string's content (RFC 8259 §7). Half a surrogate pair is no error here, as it is for most
/// readers: a sender that cut a name in the middle of an emoji must not cost an event. It becomes U+FFFD.
fn unescaped(content: &str) -> String {
    let bytes = content.as_bytes();
    let mut output = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            let end = backslash(bytes, at + 1);
            output.extend_from_slice(bytes.get(at..end).unwrap_or_default());
            at = end;
            continue;
        }
        let escaped = bytes.get(at + 1).copied().unwrap_or_default();
        output.push(match escaped {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (character, length) = unicode(content.get(at..).unwrap_or_default());
                output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            // A quotation mark, a backslash or a slash: there is no other escape.
            itself => itself,
        });
        at += 2;
    }
    // Whole characters were copied, so nothing is ever replaced here.
    String::from_utf8(output).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
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
