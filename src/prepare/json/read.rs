//! The reading of JSON (RFC 8259): objects whose values are found and checked, but not interpreted.
//!
//! What IDaaS sends is JSON inside strings inside JSON: half of its bytes are escapes. A reader made for ordinary JSON
//! spends most of a callback's time on them, so objects and strings are read here, many bytes at a time, and
//! everything else by `serde_json`. Takes exactly what `serde_json` takes, which a property test holds it to.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Element, Members, text};

/// A JSON value as it was written, known to be valid.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    json: &'a str,
    /// Whether it is a string with an escape in it.
    pub(super) escaped: bool,
}

impl<'a> Raw<'a> {
    /// What an absent value is taken for.
    pub(crate) const NULL: Raw<'static> = Raw { json: "null", escaped: false };

    /// The value's text.
    pub(crate) const fn get(self) -> &'a str {
        self.json
    }

    /// The value for whoever writes JSON.
    pub(crate) fn to_raw_value(self) -> Cow<'a, RawValue> {
        // It is valid, so `NULL` is never taken.
        Cow::Borrowed(serde_json::from_str(self.json).unwrap_or(RawValue::NULL))
    }

    /// Reads one value and nothing after it.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut reader = Reader::new(text, None);
        reader.space();
        let value = reader.value()?;
        reader.end().then_some(value)
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(value: &'a RawValue) -> Self {
        let json = value.get();
        Self { json, escaped: json.starts_with('"') && json.contains('\\') }
    }
}

/// A place in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The name of the member that holds most of the text, most often as a string in which much is escaped.
    bulk: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str, bulk: Option<&'static str>) -> Self {
        Self { text, at: 0, bulk }
    }

    /// Whether nothing follows.
    pub(super) fn end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// An object's members. `expected` is how many there will be, most often: of an event's frame few, of a user many.
    /// Room for many in each frame would be the largest part of what a callback of thousands of small events costs.
    pub(super) fn members(&mut self, expected: usize) -> Option<Members<'a>> {
        self.take(b'{')?;
        let (mut members, mut bulk) = (Vec::with_capacity(expected), None);
        if self.take(b'}').is_some() {
            return Some(Members { members, bulk });
        }
        loop {
            self.space();
            let name = text(self.string()?).unwrap_or_default();
            self.take(b':')?;
            self.space();
            let value = if self.bulk == Some(&*name) {
                let (value, text) = self.unwrapped()?;
                bulk = Some(text);
                value
            } else {
                self.value()?
            };
            members.push((name, value));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Members { members, bulk });
            }
        }
    }

    /// An array's elements, `most` of them at most, each with its members where it is an object.
    pub(super) fn elements(&mut self, most: usize) -> Option<Vec<Element<'a>>> {
        self.list(most, |reader| {
            if reader.next() == Some(b'{') {
                return Some(Element(Some(reader.members(6)?)));
            }
            reader.value().map(|_| Element(None))
        })
    }

    /// An array of at most `most` elements, which `element` reads.
    pub(super) fn list<T>(&mut self, most: usize, element: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.take(b'[')?;
        let mut elements = Vec::new();
        if self.take(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.space();
            if elements.len() == most {
                return None;
            }
            elements.push(element(self)?);
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(elements);
            }
        }
    }

    /// Any value.
    pub(super) fn value(&mut self) -> Option<Raw<'a>> {
        if self.next() == Some(b'"') {
            return self.string();
        }
        let mut rest = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        let value = <&RawValue>::deserialize(&mut rest).ok()?.get();
        self.at += value.len();
        Some(Raw { json: value, escaped: false })
    }

    /// Any value, and its text: of a string the content, else as it is written.
    fn unwrapped(&mut self) -> Option<(Raw<'a>, Cow<'a, str>)> {
        if self.next() == Some(b'"') {
            let (value, content) = self.content()?;
            return Some((value, Cow::Owned(content)));
        }
        let value = self.value()?;
        Some((value, Cow::Borrowed(value.get())))
    }

    fn string(&mut self) -> Option<Raw<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if self.next() != Some(b'"') {
            return None;
        }
        let (mut at, mut escaped) = (start + 1, false);
        loop {
            match bytes.get(at)? {
                b'"' => break,
                // One escape often follows another, so it is looked for here before anything is searched.
                b'\\' => {
                    escaped = true;
                    at += escape(bytes.get(at + 1..)?)?;
                }
                // A control character has to be escaped.
                ..0x20 => return None,
                _ => at = special(bytes, at + 1),
            }
        }
        self.at = at + 1;
        Some(Raw { json: self.text.get(start..self.at)?, escaped })
    }

    /// A string and its content, its escapes resolved in the same pass. Half a surrogate pair becomes U+FFFD: a sender
    /// that cut a name in the middle of an emoji must not cost an event.
    pub(super) fn content(&mut self) -> Option<(Raw<'a>, String)> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if self.next() != Some(b'"') {
            return None;
        }
        let mut content = Vec::with_capacity(ROOM.min(bytes.len() - start));
        let (mut at, mut escaped) = (start + 1, false);
        loop {
            at = copy(bytes, at, &mut content);
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => escaped = true,
                // A control character: it has to be escaped.
                _ => return None,
            }
            // One escape often follows another.
            while let Some(b'\\') = bytes.get(at) {
                at += resolve(bytes.get(at + 1..)?, &mut content)?;
            }
        }
        self.at = at + 1;
        // Only whole characters were copied, so nothing is ever replaced here.
        let content = String::from_utf8(content);
        let content = content.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Some((Raw { json: self.text.get(start..self.at)?, escaped }, content))
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (self.next()? == wanted).then(|| self.at += 1)
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.next() {
            self.at += 1;
        }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The length of an escape whose backslash is followed by `bytes`. `None` where it is none.
fn escape(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Appends what the escape means whose backslash is followed by `bytes`; returns its length. `None` where it is none
/// (RFC 8259 §7).
fn resolve(bytes: &[u8], content: &mut Vec<u8>) -> Option<usize> {
    let byte = *bytes.first()?;
    let meant = MEANT.get(usize::from(byte)).copied().unwrap_or_default();
    if meant != 0 {
        content.push(meant);
        return Some(2);
    }
    let (character, length) = if byte == b'u' { unicode(bytes)? } else { return None };
    content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}

/// What each byte behind a backslash means, 0 where it takes more than that byte to say. A table, because a jump to one
/// of many places is guessed wrong half of the time.
const MEANT: [u8; 256] = {
    let (mut meant, mut escapes) = ([0; 256], b"\"\"\\\\//b\x08f\x0cn\nr\rt\t".as_slice());
    while let [escape, meaning, rest @ ..] = escapes {
        meant[*escape as usize] = *meaning;
        escapes = rest;
    }
    meant
};

/// Resolves `uXXXX`, or with `\uXXXX` behind it a surrogate pair: the character, and the length with all backslashes.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |digits: &[u8]| {
        let digits = digits.first_chunk::<4>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let second = bytes.get(5..).and_then(|rest| unit(rest.strip_prefix(b"\\u")?));
    let units = [unit(bytes.get(1..)?)?, second.unwrap_or_default()];
    Some(match char::decode_utf16(units).next() {
        Some(Ok(character)) => (character, 6 * character.len_utf16()),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
    })
}

/// How much room a string with escapes is given at first, in bytes: as much as an event's data takes.
const ROOM: usize = 2048;

/// So many bytes are looked at at once: rarely more stand between two special characters of a text that is half escapes,
/// and a branch that goes the same way each time costs nothing.
const WIDTH: usize = size_of::<u128>();
const ONES: u128 = u128::from_le_bytes([1; WIDTH]);
const HIGH: u128 = ONES << 7;

/// The first byte of `word` that is special in a string: a quotation mark, a backslash or a control character.
fn special_in(word: [u8; WIDTH]) -> Option<usize> {
    let word = u128::from_le_bytes(word);
    // The high bit of each special byte, and perhaps of some above it, because subtraction borrows. The lowest is right.
    let found = (is(word, b'"') | is(word, b'\\') | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGH;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Sets the high bit of each byte of `word` that is `byte`.
const fn is(word: u128, byte: u8) -> u128 {
    let zero = word ^ (ONES * byte as u128);
    zero.wrapping_sub(ONES) & !zero
}

/// Where, from `at` on, the next special character stands; the end where none does.
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match special_in(*word) {
            Some(plain) => return at + plain,
            None => at += WIDTH,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// Appends what stands from `at` on before the next special character, and returns where that stands.
fn copy(bytes: &[u8], mut at: usize, content: &mut Vec<u8>) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        // A whole word, and what was too many taken back: faster than a copy of just so many bytes.
        content.extend_from_slice(word);
        match special_in(*word) {
            Some(plain) => {
                content.truncate(content.len() - WIDTH + plain);
                return at + plain;
            }
            None => at += WIDTH,
        }
    }
    let end = special(bytes, at);
    content.extend_from_slice(bytes.get(at..end).unwrap_or_default());
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{elements, objects};
    use super::*;

    /// Text that is JSON, or nearly: pieces that mean something to a reader, in any order, and mutilated JSON.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\"a\"",
            "\"\\\"\"",
            "\\",
            "\\u00",
            "\"\\ud800\"",
            "\"\\u12G4\"",
            "1",
            "-",
            "0.5e1",
            "01",
            "true",
            "nul",
            "null",
            "é",
            "\u{1}",
            "\"\u{1f}\"",
            "\"\u{7f}\"",
            "\"\u{80}\"",
            "{\"k\":[1,{}]}",
            "\"a rather long text, longer than two words\"",
            "\"123456\\\\\\\"78\"",
            "\t",
        ]);
        let joined = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
        let whole =
            r#"{"id":"e\"vnt_1234567","n":-1.5e3,"data":"{\\\"a\\\":1}","l":[1,{"x":null}],"é":true}"#.to_owned();
        let cut = (0..whole.len(), any::<u8>()).prop_map(move |(at, byte)| {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = byte;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        prop_oneof![joined.clone(), joined.prop_map(|text| format!("{{\"a\":{text}}}")), cut]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn exactly_what_serde_json_takes_is_taken(text in nearly_json()) {
            let valid = serde_json::from_str::<&RawValue>(&text).ok();
            let begins = |with| valid.is_some_and(|value| value.get().starts_with(with));
            prop_assert_eq!(Raw::parse(&text).map(Raw::get), valid.map(RawValue::get));
            prop_assert_eq!(Members::parse(&text).is_some(), begins('{'));
            prop_assert_eq!(objects(&text, usize::MAX, Some("a")).is_some(), begins('['));
            prop_assert_eq!(elements(&text).is_some(), begins('['));
        }

        #[test]
        fn every_value_is_read_as_serde_json_reads_it(text in nearly_json()) {
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) else {
                return Ok(());
            };
            let mut members = Members::parse_with(&text, "a").unwrap();
            let written = members.get("a").map(Raw::get);
            let bulk = object.get("a").map(|value| value.as_str().or(written).unwrap().to_owned());
            prop_assert_eq!(members.take_bulk().map(Cow::into_owned), bulk);
            for (name, value) in object {
                let read = members.get(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(read.get()).unwrap(), value.clone());
                let text = super::text(read);
                prop_assert_eq!(text.as_deref(), value.as_str());
            }
        }
    }
}
