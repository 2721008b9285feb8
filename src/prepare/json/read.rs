//! The reading of JSON (RFC 8259): objects whose values are found and checked, but not interpreted.
//!
//! What IDaaS sends is JSON inside strings inside JSON: half of its bytes are escapes. A reader made for ordinary JSON
//! spends most of a callback's time on them, so objects and strings are read here, eight bytes at a time, and
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
        let mut reader = Reader::new(text);
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
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
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
        let mut members = Vec::with_capacity(expected);
        if self.take(b'}').is_some() {
            return Some(Members(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.take(b':')?;
            self.space();
            members.push((text(name).unwrap_or_default(), self.value()?));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Members(members));
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

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Where, from `at` on, the next quotation mark, backslash or control character stands; the end where none does.
fn special(bytes: &[u8], at: usize) -> usize {
    let found = |word: u64| is(word, b'"') | is(word, b'\\') | (word.wrapping_sub(ONES * 0x20) & !word);
    find(bytes, at, found, |byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

/// Where, from `at` on, the next backslash stands; the end where none does.
pub(super) fn backslash(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, |word| is(word, b'\\'), |byte| byte == b'\\')
}

/// Searches eight bytes at a time: `in_word` sets the high bit of each byte that is wanted, and perhaps of some above
/// it, because subtraction borrows; the lowest is right.
fn find(bytes: &[u8], mut at: usize, in_word: impl Fn(u64) -> u64, wanted: impl Fn(u8) -> bool) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = in_word(u64::from_le_bytes(*word)) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| wanted(*byte)).unwrap_or(rest.len())
}

/// Sets the high bit of each byte of `word` that is `byte`.
const fn is(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * byte as u64);
    zero.wrapping_sub(ONES) & !zero
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
            prop_assert_eq!(objects(&text, usize::MAX).is_some(), begins('['));
            prop_assert_eq!(elements(&text).is_some(), begins('['));
        }

        #[test]
        fn every_value_is_read_as_serde_json_reads_it(text in nearly_json()) {
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) else {
                return Ok(());
            };
            let members = Members::parse(&text).unwrap();
            for (name, value) in object {
                let read = members.get(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(read.get()).unwrap(), value.clone());
                let text = super::text(read);
                prop_assert_eq!(text.as_deref(), value.as_str());
            }
        }
    }
}
