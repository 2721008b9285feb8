//! Reading the sender's JSON without building trees: members and texts borrowed from the input.
//!
//! Everything here takes syntactically valid JSON (or finds that it is not) and never fails on content: a broken
//! surrogate pair in a name must not cost an event.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
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
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Text).map(Name)
    }
}

/// Takes a JSON string as bytes, which is the form in which `serde_json` lets half a surrogate pair through.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(String::from_utf8_lossy(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// The content of a JSON string; what is no Unicode in it becomes U+FFFD. `None` where the value is no string.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    if !json.starts_with('"') {
        return None;
    }
    serde_json::Deserializer::from_str(json).deserialize_bytes(Text).ok()
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
        assert_eq!(text(raw(r#""a\ud83dz""#)).unwrap().replace('\u{fffd}', "?").trim_matches('?'), "a???z");
        assert!(Members::parse(r#"{"\udc00": 1}"#).is_some());
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
