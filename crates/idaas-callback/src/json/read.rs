//! Parses JSON (RFC 8259): finds and checks the values of objects without interpreting them.
//!
//! IDaaS sends JSON inside strings inside JSON, so half of the bytes are escapes. A general-purpose parser spends
//! most of a callback's time on them. Therefore objects and strings are parsed here, many bytes at a time, and
//! everything else by `serde_json`. Accepts exactly what `serde_json` accepts; a property test checks this.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MaxElements, Members, string, text};

/// A valid JSON value as it was written.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    json: &'a str,
    /// True if the value is a string that contains an escape.
    pub(crate) escaped: bool,
}

impl<'a> Raw<'a> {
    /// The value used for an absent one.
    pub(crate) const NULL: Raw<'static> = Raw { json: "null", escaped: false };

    /// Returns the value's text.
    #[must_use]
    pub const fn get(self) -> &'a str {
        self.json
    }

    /// The value as JSON text.
    pub(crate) fn to_raw_value(self) -> Cow<'a, RawValue> {
        // The value is valid JSON, so the fallback is never used.
        Cow::Borrowed(serde_json::from_str(self.json).unwrap_or(RawValue::NULL))
    }

    /// Parses one value. `None` if anything follows it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
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

/// A position in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    large_member: Option<LargeMember>,
    max_members: usize,
}

/// The largest member of an object, usually a string with many escapes. Its text is extracted in the pass that finds
/// it.
#[derive(Clone, Copy)]
pub(crate) struct LargeMember {
    pub(crate) name: &'static str,
    /// The usual length of its content, in bytes.
    pub(crate) capacity: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str, large_member: Option<LargeMember>) -> Self {
        Self { text, at: 0, large_member, max_members: usize::MAX }
    }

    /// Returns a reader of objects with at most this number of members.
    pub(super) const fn with_max_members(self, max_members: usize) -> Self {
        Self { max_members, ..self }
    }

    /// Returns true if only white space follows.
    pub(super) fn end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Parses an object. `None` also if it has too many members. `expected` is the usual number of members: few in an
    /// event's envelope, many in a user.
    /// Reserving space for many in each envelope would be the largest part of the cost of a callback with thousands
    /// of small events.
    pub(super) fn members(&mut self, expected: usize) -> Option<Members<'a>> {
        self.take(b'{')?;
        let (mut members, mut large_member) = (Vec::with_capacity(expected), None);
        if self.take(b'}').is_some() {
            return Some(Members { members, large_member });
        }
        loop {
            if members.len() >= self.max_members {
                return None;
            }
            self.space();
            let name = text(self.string()?).unwrap_or_default();
            self.take(b':')?;
            self.space();
            let value = match self.large_member {
                Some(LargeMember { name: wanted, capacity }) if name == wanted => {
                    let (value, text) = self.unwrapped(capacity)?;
                    large_member = Some(text);
                    value
                }
                Some(_) | None => self.value()?,
            };
            members.push((name, value));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Members { members, large_member });
            }
        }
    }

    /// Parses an object and returns its text as well.
    pub(super) fn object(&mut self, expected: usize) -> Option<(Raw<'a>, Members<'a>)> {
        let from = self.at;
        let members = self.members(expected)?;
        Some((Raw { json: self.text.get(from..self.at)?, escaped: false }, members))
    }

    /// Parses an array whose elements `element` reads. `None` also if there are more elements than `max_elements` allows
    /// for the bytes read so far.
    pub(super) fn list<T>(
        &mut self,
        max_elements: MaxElements,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.take(b'[')?;
        let mut elements = Vec::new();
        if self.take(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.space();
            if elements.len() >= max_elements(self.at) {
                return None;
            }
            elements.push(element(self)?);
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(elements);
            }
        }
    }

    /// Parses any value.
    pub(super) fn value(&mut self) -> Option<Raw<'a>> {
        if self.next() == Some(b'"') {
            return self.string();
        }
        let mut rest = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        let value = <&RawValue>::deserialize(&mut rest).ok()?.get();
        self.at += value.len();
        Some(Raw { json: value, escaped: false })
    }

    /// Parses any value and returns its text: the content of a string, or any other value as written.
    fn unwrapped(&mut self, capacity: usize) -> Option<(Raw<'a>, Cow<'a, str>)> {
        if self.next() == Some(b'"') {
            let (value, content) = self.content(capacity)?;
            return Some((value, Cow::Owned(content)));
        }
        let value = self.value()?;
        Some((value, Cow::Borrowed(value.get())))
    }

    fn string(&mut self) -> Option<Raw<'a>> {
        let (length, escaped) = string::skip_string(self.text.as_bytes().get(self.at..)?)?;
        self.raw(length, escaped)
    }

    /// Parses a string and resolves its escapes in the same pass. `capacity` is the expected length in bytes.
    pub(super) fn content(&mut self, capacity: usize) -> Option<(Raw<'a>, String)> {
        let (length, escaped, content) = string::read_string(self.text.as_bytes().get(self.at..)?, capacity)?;
        Some((self.raw(length, escaped)?, content))
    }

    fn raw(&mut self, length: usize, escaped: bool) -> Option<Raw<'a>> {
        let json = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(Raw { json, escaped })
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

    pub(super) fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{UNLIMITED, elements, map_elements};
    use super::*;

    const LARGE_MEMBER: LargeMember = LargeMember { name: "a", capacity: 3 };

    /// Generates JSON, nearly valid JSON and truncated JSON from fragments that are significant to a parser.
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
            prop_assert_eq!(map_elements(&text, UNLIMITED, Some(LARGE_MEMBER), drop).is_some(), begins('['));
            prop_assert_eq!(elements(&text).is_some(), begins('['));
        }

        #[test]
        fn every_value_is_read_as_serde_json_reads_it(text in nearly_json()) {
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) else {
                return Ok(());
            };
            let mut members = Members::parse_with(&text, LARGE_MEMBER).unwrap();
            let written = members.get("a").map(Raw::get);
            let large_member = object.get("a").map(|value| value.as_str().or(written).unwrap().to_owned());
            prop_assert_eq!(members.take_large().map(Cow::into_owned), large_member);
            for (name, value) in object {
                let read = members.get(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(read.get()).unwrap(), value.clone());
                let text = super::text(read);
                prop_assert_eq!(text.as_deref(), value.as_str());
            }
        }
    }
}
