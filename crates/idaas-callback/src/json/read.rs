//! The reading of JSON (RFC 8259): objects whose values are found and checked, but not interpreted.
//!
//! What IDaaS sends is JSON inside strings inside JSON: half of its bytes are escapes. A reader made for ordinary JSON
//! spends most of a callback's time on them, so objects and strings are read here, many bytes at a time, and
//! everything else by `serde_json`. Takes exactly what `serde_json` takes, which a property test holds it to.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Element, MaxElements, Members, string, text};

/// A JSON value as it was written, known to be valid.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    json: &'a str,
    /// Whether it is a string with an escape in it.
    pub(super) escaped: bool,
}

impl<'a> Raw<'a> {
    /// What an absent value is taken for.
    pub(crate) const NULL: Raw<'static> = Raw { json: "null", escaped: false };

    /// The value's text.
    #[must_use]
    pub const fn get(self) -> &'a str {
        self.json
    }

    /// The value as JSON text.
    pub(crate) fn to_raw_value(self) -> Cow<'a, RawValue> {
        // It is valid, so `NULL` is never taken.
        Cow::Borrowed(serde_json::from_str(self.json).unwrap_or(RawValue::NULL))
    }

    /// Reads one value and nothing after it.
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

/// A place in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    bulk: Option<LargeMember>,
}

/// A member that holds most of an object, most often as a string in which much is escaped. Its text is read in the pass
/// that finds it.
#[derive(Clone, Copy)]
pub(crate) struct LargeMember {
    pub(crate) name: &'static str,
    /// How many bytes its content most often has.
    pub(crate) capacity: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str, bulk: Option<LargeMember>) -> Self {
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
            let value = match self.bulk {
                Some(LargeMember { name: wanted, capacity: room }) if name == wanted => {
                    let (value, text) = self.unwrapped(room)?;
                    bulk = Some(text);
                    value
                }
                Some(_) | None => self.value()?,
            };
            members.push((name, value));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Members { members, bulk });
            }
        }
    }

    /// What `make` makes of an array's elements, each with its members where it is an object.
    pub(super) fn elements<T>(
        &mut self,
        density: MaxElements,
        mut make: impl FnMut(Element<'a>) -> T,
    ) -> Option<Vec<T>> {
        self.list(density, |reader| {
            let is_object = reader.next() == Some(b'{');
            let element = if is_object { Some(reader.members(6)?) } else { reader.value().map(|_| None)? };
            Some(make(Element(element)))
        })
    }

    /// An array whose elements `element` reads. `None` as well where more than may be stand in the bytes passed so far.
    pub(super) fn list<T>(
        &mut self,
        density: MaxElements,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.take(b'[')?;
        let mut elements = Vec::new();
        if self.take(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.space();
            if elements.len() >= density(self.at) {
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
    fn unwrapped(&mut self, room: usize) -> Option<(Raw<'a>, Cow<'a, str>)> {
        if self.next() == Some(b'"') {
            let (value, content) = self.content(room)?;
            return Some((value, Cow::Owned(content)));
        }
        let value = self.value()?;
        Some((value, Cow::Borrowed(value.get())))
    }

    fn string(&mut self) -> Option<Raw<'a>> {
        let (length, escaped) = string::pass(self.text.as_bytes().get(self.at..)?)?;
        self.raw(length, escaped)
    }

    /// A string and its content, its escapes resolved in the same pass. `room` is how many bytes are expected.
    pub(super) fn content(&mut self, room: usize) -> Option<(Raw<'a>, String)> {
        let (length, escaped, content) = string::resolve(self.text.as_bytes().get(self.at..)?, room)?;
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

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ANY, elements, map_elements};
    use super::*;

    const BULK: LargeMember = LargeMember { name: "a", capacity: 3 };

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
            prop_assert_eq!(map_elements(&text, ANY, Some(BULK), drop).is_some(), begins('['));
            prop_assert_eq!(elements(&text).is_some(), begins('['));
        }

        #[test]
        fn every_value_is_read_as_serde_json_reads_it(text in nearly_json()) {
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) else {
                return Ok(());
            };
            let mut members = Members::parse_with(&text, BULK).unwrap();
            let written = members.get("a").map(Raw::get);
            let bulk = object.get("a").map(|value| value.as_str().or(written).unwrap().to_owned());
            prop_assert_eq!(members.take_large().map(Cow::into_owned), bulk);
            for (name, value) in object {
                let read = members.get(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(read.get()).unwrap(), value.clone());
                let text = super::text(read);
                prop_assert_eq!(text.as_deref(), value.as_str());
            }
        }
    }
}
