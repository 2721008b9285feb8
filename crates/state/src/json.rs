//! JSON that is passed on unchanged: parts of a document that are shared instead of copied.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::path::Path;

/// Maximum nesting depth of objects, as in `serde_json`.
const MAX_DEPTH: usize = 127;

/// A part of a text that several owners share. Cloning it copies no text.
#[derive(Clone)]
pub struct SharedStr {
    document: Arc<str>,
    start: usize,
    end: usize,
}

impl SharedStr {
    /// Shares `part` of `document`. Copies `part` if it belongs to another text.
    pub(crate) fn part(document: &Arc<str>, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(document.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        let inside = start <= end && document.get(start..end).is_some_and(|found| std::ptr::eq(found, part));
        if inside { Self { document: Arc::clone(document), start, end } } else { Self::from(part) }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.document.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns the bytes of the text. They have the same order as the text, and are faster to compare.
    fn as_bytes(&self) -> &[u8] {
        self.document.as_bytes().get(self.start..self.end).unwrap_or_default()
    }
}

impl From<&str> for SharedStr {
    fn from(text: &str) -> Self {
        Self { document: Arc::from(text), start: 0, end: text.len() }
    }
}

impl Deref for SharedStr {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for SharedStr {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for SharedStr {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SharedStr {}

impl PartialOrd for SharedStr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SharedStr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for SharedStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The text of a JSON value. Two are equal if their values are equal, even if their texts differ.
#[derive(Debug, Clone)]
pub struct Json(SharedStr);

impl Json {
    /// Returns the JSON text.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Returns the value as a tree. Returns `null` if the text has a number beyond the range of `f64`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Creates a JSON string from a text that needs no escapes.
    pub(crate) fn plain_string(text: &str) -> Self {
        Self(SharedStr::from(format!("\"{text}\"").as_str()))
    }

    /// Returns the elements of a list. Returns `None` if the value is not a list.
    pub(crate) fn list(&self) -> Option<Vec<Value>> {
        if self.0.starts_with('[') { serde_json::from_str(&self.0).ok() } else { None }
    }

    /// Returns the elements of a list. `null` has none. Returns `None` if the value is neither.
    pub(crate) fn list_or_null(&self) -> Option<Vec<Value>> {
        if &*self.0 == "null" { Some(Vec::new()) } else { self.list() }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self(SharedStr::from(value.to_string().as_str()))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        let value = |json: &Self| serde_json::from_str::<Value>(&json.0).ok();
        self.0 == other.0 || value(self).is_some_and(|one| value(other) == Some(one))
    }
}

/// Returns true if each escape of a UTF-16 code unit in a JSON text is a character, alone or as the first or second
/// half of a pair. A tree of values would tell as well, but has no numbers beyond the range of `f64`.
fn has_only_characters(text: &str) -> bool {
    // The units of the escapes that follow one another without anything in between.
    let mut units = Vec::new();
    let is_valid = |units: &mut Vec<u16>| char::decode_utf16(units.drain(..)).all(|character| character.is_ok());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        if !before.is_empty() && !is_valid(&mut units) {
            return false;
        }
        let unit = escape.strip_prefix("\\u").and_then(|digits| u16::from_str_radix(digits.get(..4)?, 16).ok());
        units.extend(unit.or(Some(u16::from(b'?'))));
        let length = if unit.is_some() { 6 } else { 2 };
        rest = escape.get(length..).unwrap_or_default();
    }
    is_valid(&mut units)
}

/// A document whose parts can be shared.
pub(crate) struct Document(Arc<str>);

impl Document {
    /// Reads a record's value. Returns `None` if it is not UTF-8, or has an escape that is not a character.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // Skipping a string does not check its escapes.
        has_only_characters(text).then(|| Self(Arc::from(text)))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Shares `part` of this document.
    pub(crate) fn share(&self, part: &str) -> SharedStr {
        SharedStr::part(&self.0, part)
    }

    /// Returns `part` of this document as a value.
    pub(crate) fn json(&self, part: &str) -> Json {
        Json(self.share(part))
    }

    /// Returns the leaf fields of an object that is part of this document: scalars and lists, including those of nested
    /// objects. Omits direct members of the object that are not `kept`.
    pub(crate) fn leaves(&self, object: &Object<'_>, kept: impl Fn(&str) -> bool) -> Option<Vec<(Path, Json)>> {
        let mut all = Vec::with_capacity(object.members.len() + 8);
        for (name, value) in object.members.iter().filter(|(name, _)| kept(name)) {
            self.collect(Path::from(self.share(name)), value, 1, &mut all)?;
        }
        Some(all)
    }

    fn collect(&self, path: Path, value: &str, depth: usize, leaves: &mut Vec<(Path, Json)>) -> Option<()> {
        if !value.starts_with('{') {
            leaves.push((path, self.json(value)));
            return Some(());
        }
        if depth > MAX_DEPTH {
            return None;
        }
        for (name, value) in &Object::read(value)?.members {
            self.collect(path.child(self.share(name)), value, depth + 1, leaves)?;
        }
        Some(())
    }
}

/// The members of an object in their order: names and the JSON text of their values.
pub(crate) struct Object<'d> {
    pub(crate) members: Vec<(Cow<'d, str>, &'d str)>,
}

impl<'d> Object<'d> {
    /// Reads an object. Returns `None` if the text is not one.
    pub(crate) fn read(text: &'d str) -> Option<Self> {
        if text.trim_ascii_start().starts_with('{') { serde_json::from_str(text).ok() } else { None }
    }

    /// Returns the JSON text of a member. If a name is repeated, the last member counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'d str> {
        self.members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Returns a member that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        self.get(name).and_then(Self::read)
    }

    /// Returns a member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'d, str>> {
        let quoted = self.get(name)?.strip_prefix('"')?.strip_suffix('"')?;
        if quoted.contains('\\') { serde_json::from_str(self.get(name)?).ok() } else { Some(Cow::Borrowed(quoted)) }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Object { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A name that is copied only if it has escapes.
struct Name<'d>(Cow<'d, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(text: &str) -> Option<Vec<(String, String)>> {
        let document = Document::read(text.as_bytes())?;
        let leaves = document.leaves(&Object::read(document.text())?, |name| name != "left")?;
        Some(leaves.iter().map(|(path, value)| (path.dotted().into_owned(), value.as_text().to_owned())).collect())
    }

    #[test]
    fn leaves_keep_their_text() {
        let text = r#" {"a":1.50, "b" : {"c":[1, {"d":2}],"e":{},"\u0066":"\"x"},"left":0,"a":null} "#;
        let expected = [("a", "1.50"), ("b.c", r#"[1, {"d":2}]"#), ("b.f", r#""\"x""#), ("a", "null")];
        let expected = expected.map(|(path, value)| (path.to_owned(), value.to_owned()));
        assert_eq!(leaves(text), Some(expected.to_vec()));
    }

    #[test]
    fn malformed_json_is_rejected() {
        for text in ["{", "[]", "{\"a\":}", "{\"a\":01}", "{\"a\":\"\\ud800\"}", "{\"a\":1}}", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(leaves(text), None, "{text}");
        }
        let deep = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(leaves(&deep(100)).is_some());
        assert_eq!(leaves(&deep(200)), None);
    }

    #[test]
    fn escapes_must_be_characters_and_numbers_need_not_be_f64() {
        for text in [r#"{"a":"\ud83d\ude00\u5f20\\ud800","n":1e400}"#, r#"{"a":"\\\\"}"#, r#"{"a":"\n\u0041"}"#] {
            assert!(leaves(text).is_some(), "{text}");
        }
        for text in [r#"{"a":"\ude00"}"#, r#"{"a":"\ud83d"}"#, r#"{"a":"\ud83d\n\ude00"}"#, r#"{"a":"\ud83dx\ude00"}"#]
        {
            assert_eq!(leaves(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_compared_by_meaning() {
        let json = |text: &str| Json(SharedStr::from(text));
        assert_eq!(json("[1,2]"), json("[1, 2]"));
        assert_eq!(json(r#""\u0061""#), json(r#""a""#));
        assert_ne!(json("1"), json("\"1\""));
        assert_eq!(Json::from(&Value::from("a\"b")).as_text(), r#""a\"b""#);
    }
}
