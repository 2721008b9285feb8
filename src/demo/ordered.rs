//! JSON that keeps the order of members, which a map would lose.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ordered {
    /// A text.
    Text(String),
    /// `null`, a boolean or a number, as written in JSON.
    Literal(String),
    /// An array.
    Array(Vec<Ordered>),
    /// An object.
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    /// Parses JSON. Anything else becomes a text.
    pub(super) fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_else(|_| Self::Text(String::from_utf8_lossy(json).into_owned()))
    }

    /// Returns the same object without these members.
    #[must_use]
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        if let Self::Object(members) = &mut self {
            members.retain(|(name, _)| !names.contains(&name.as_str()));
        }
        self
    }

    /// Returns true if there is a member with this name, at any depth.
    pub(super) fn has_member(&self, wanted: &str) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|(name, below)| name == wanted || below.has_member(wanted)),
            Self::Array(elements) => elements.iter().any(|below| below.has_member(wanted)),
            Self::Text(_) | Self::Literal(_) => false,
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Ordered;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Ordered, E> {
        Ok(Ordered::Literal("null".to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Literal(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Literal(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Literal(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered::Literal(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Ordered, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Ordered::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Ordered, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Ordered::Object(object))
    }
}
